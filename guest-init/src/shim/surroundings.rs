//! The namespaces around a container's first process: new ones, the machine's, or another container's.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::{Attachment, ContainerSpec, FailureKind, Namespace, Network};
use rustix::fs::{Mode, OFlags, open};

use crate::boot::NAMES;
use crate::container::mounting;
use crate::failure::{Context, Outcome, failure, invalid};
use crate::network::{Resolver, Sandbox, check_table};
use crate::sys;

/// What was prepared for the first process, and what belongs to the container beside it.
pub(super) struct Surroundings {
    /// Its network namespace, if that is its own.
    sandbox: Option<Sandbox>,
    resolver: Option<Resolver>,
    /// Another container's network namespace, and this process's own.
    shared_network: Option<(OwnedFd, OwnedFd)>,
    /// The /dev/shm of the container whose IPC namespace is shared.
    shm: Option<OwnedFd>,
    /// `CLONE_NEW…` of the namespaces that are made with the first process.
    new_namespaces: libc::c_int,
}

impl Surroundings {
    /// Makes and enters what is to be there before the first process.
    pub(super) fn prepare(
        spec: &ContainerSpec,
        neighbours: &BTreeMap<String, u32>,
        cgroup: BorrowedFd<'_>,
    ) -> Outcome<Self> {
        let first_process = |id: &str| {
            let first = neighbours.get(id).copied();
            first.ok_or_else(|| {
                let text = format!("cannot join the namespace of a container that does not run: {id}");
                failure(FailureKind::NotRunning, text)
            })
        };
        let mut prepared = Self {
            sandbox: None,
            resolver: None,
            shared_network: None,
            shm: None,
            new_namespaces: libc::CLONE_NEWNS,
        };
        match &spec.network {
            Network::Machine => {}
            Network::Container(id) => {
                let other = open_namespace(&format!("/proc/{}/ns/net", first_process(id)?))?;
                prepared.shared_network = Some((other, open_namespace("/proc/thread-self/ns/net")?));
                if let Some(port) = read_port(id) {
                    Resolver::redirect(cgroup, port)?;
                }
            }
            Network::Own { attachments, tables } => {
                let mut sandbox = Sandbox::create()?;
                attachments
                    .iter()
                    .try_for_each(|attachment| sandbox.join(attachment))?;
                if let Some(tables) = tables {
                    prepared.resolver = Some(resolver_of(&spec.id, &sandbox, tables.clone(), cgroup)?);
                }
                prepared.sandbox = Some(sandbox);
            }
        }
        for (namespace, flag, name) in [
            (&spec.pid, libc::CLONE_NEWPID, "pid"),
            (&spec.ipc, libc::CLONE_NEWIPC, "ipc"),
            (&spec.uts, libc::CLONE_NEWUTS, "uts"),
        ] {
            match namespace {
                Namespace::Own => prepared.new_namespaces |= flag,
                Namespace::Machine => {}
                Namespace::Container(id) => {
                    let process = first_process(id)?;
                    let other = open_namespace(&format!("/proc/{process}/ns/{name}"))?;
                    if flag == libc::CLONE_NEWIPC {
                        prepared.shm = Some(shm_of(process)?);
                    }
                    // Of the shim itself: nothing that it does depends on these.
                    sys::process::enter_namespaces(&other, flag)
                        .context(|| format!("the {name} namespace"))?;
                }
            }
        }
        Ok(prepared)
    }

    /// Does something in the container's network namespace.
    pub(super) fn inside<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        if let Some(sandbox) = &self.sandbox {
            return sandbox.inside(work);
        }
        let enter = |namespace: &OwnedFd| {
            sys::process::enter_namespaces(namespace, libc::CLONE_NEWNET)
                .context(|| "network namespace".to_owned())
        };
        match &self.shared_network {
            None => work(),
            Some((other, own)) => {
                enter(other)?;
                let result = work();
                enter(own)?;
                result
            }
        }
    }

    pub(super) fn new_namespaces(&self) -> libc::c_int {
        self.new_namespaces
    }

    pub(super) fn shm(&self) -> Option<BorrowedFd<'_>> {
        self.shm.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn resolver(&self) -> Option<&Resolver> {
        self.resolver.as_ref()
    }

    /// Answers what was asked of the resolver.
    pub(super) fn answer(&mut self) {
        if let Some(resolver) = &mut self.resolver {
            resolver.answer();
        }
    }

    /// Puts the running container on one more network. Returns the resolver that it has since then, if it had none.
    pub(super) fn connect(
        &mut self,
        id: &str,
        attachment: &Attachment,
        tables: Option<Vec<String>>,
        cgroup: BorrowedFd<'_>,
    ) -> Outcome<Option<&Resolver>> {
        let sandbox = self.own_network()?;
        sandbox.join(attachment)?;
        let (None, Some(tables)) = (&self.resolver, &tables) else {
            return self.look_in(tables).map(|()| None);
        };
        let sandbox = self.own_network()?;
        let resolver = resolver_of(id, sandbox, tables.clone(), cgroup)?;
        Ok(Some(self.resolver.insert(resolver)))
    }

    /// Takes the running container off a network.
    pub(super) fn disconnect(&mut self, host_interface: &str, tables: Option<Vec<String>>) -> Outcome<()> {
        self.own_network()?.leave(host_interface)?;
        self.look_in(tables)
    }

    fn own_network(&mut self) -> Outcome<&mut Sandbox> {
        self.sandbox
            .as_mut()
            .ok_or_else(|| invalid("the container has no network namespace of its own"))
    }

    fn look_in(&mut self, tables: Option<Vec<String>>) -> Outcome<()> {
        if let (Some(resolver), Some(tables)) = (&mut self.resolver, tables) {
            resolver.look_in(checked(tables)?);
        }
        Ok(())
    }

    /// Takes the container's interfaces away.
    pub(super) fn unplug(&mut self) {
        if let Some(mut sandbox) = self.sandbox.take() {
            sandbox.leave_all();
        }
    }

    /// Takes away what others could take for a running container's.
    pub(super) fn leave(&mut self, id: &str) {
        if self.resolver.take().is_some() {
            let _ = fs::remove_file(port_file(id));
        }
    }
}

/// Makes a container's resolver.
fn resolver_of(
    id: &str,
    sandbox: &Sandbox,
    tables: Vec<String>,
    cgroup: BorrowedFd<'_>,
) -> Outcome<Resolver> {
    let mut resolver = sandbox.resolver()?;
    resolver.look_in(checked(tables)?);
    Resolver::redirect(cgroup, resolver.port())?;
    // For containers that share this network.
    fs::write(port_file(id), resolver.port().to_string()).context(|| "the resolver's port".to_owned())?;
    Ok(resolver)
}

fn checked(tables: Vec<String>) -> Outcome<Vec<String>> {
    tables.iter().try_for_each(|table| check_table(table))?;
    Ok(tables)
}

fn port_file(id: &str) -> String {
    format!("{NAMES}/{id}.port")
}

fn read_port(id: &str) -> Option<u16> {
    fs::read_to_string(port_file(id)).ok()?.trim().parse().ok()
}

fn open_namespace(path: &str) -> Outcome<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| path.to_owned())
}

/// A copy of the mount on another container's /dev/shm. A mount can be copied from inside its namespace alone.
fn shm_of(process: u32) -> Outcome<OwnedFd> {
    let other = open_namespace(&format!("/proc/{process}/ns/mnt"))?;
    let own = open_namespace("/proc/thread-self/ns/mnt")?;
    let enter = |namespace: &OwnedFd| {
        sys::process::enter_namespaces(namespace, libc::CLONE_NEWNS).context(|| "mount namespace".to_owned())
    };
    enter(&other)?;
    let copied = mounting::copy_of("/dev/shm", false).context(|| "/dev/shm".to_owned());
    enter(&own)?;
    copied
}
