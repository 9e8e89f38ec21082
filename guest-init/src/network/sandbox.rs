//! A container's network namespace, made before its first process (network_namespaces(7)).
//!
//! This process enters the new namespace, opens what belongs there (a netlink socket, the resolver's socket), and goes
//! back; a child that is cloned while it is inside lives there.

use std::os::fd::{AsFd, OwnedFd};

use protocol::Attachment;
use rustix::fs::{Mode, OFlags, open};

use super::join::{self, Joined};
use super::netlink::Netlink;
use super::resolver::Resolver;
use crate::failure::{Context, Outcome};
use crate::sys;

/// The namespace with the sockets of both sides.
#[derive(Debug)]
pub(crate) struct Sandbox {
    namespace: OwnedFd,
    /// Where this process lives.
    home: OwnedFd,
    pub(super) sockets: Joined,
    /// The guest's ends of its interfaces.
    interfaces: Vec<String>,
}

fn own_namespace() -> Outcome<OwnedFd> {
    // Of this thread: /proc/self is the process's first one.
    let path = "/proc/thread-self/ns/net";
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| path.to_owned())
}

impl Sandbox {
    /// A new namespace with its loopback interface up.
    pub(crate) fn create() -> Outcome<Self> {
        let home = own_namespace()?;
        let guest = Netlink::open().context(|| "netlink".to_owned())?;
        sys::process::unshare(libc::CLONE_NEWNET).context(|| "network namespace".to_owned())?;
        let inside = || {
            sys::ioctl::bring_loopback_up()
                .context(|| "the loopback interface could not be brought up".to_owned())?;
            let container = Netlink::open().context(|| "netlink".to_owned())?;
            Ok((own_namespace()?, container))
        };
        let made = inside();
        enter(&home)?;
        let (namespace, container) = made?;
        Ok(Self {
            namespace,
            home,
            sockets: Joined { guest, container },
            interfaces: Vec::new(),
        })
    }

    /// Does something inside the namespace.
    pub(crate) fn inside<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        enter(&self.namespace)?;
        let result = work();
        enter(&self.home)?;
        result
    }

    /// Opens the resolver's socket.
    pub(crate) fn resolver(&self) -> Outcome<Resolver> {
        self.inside(Resolver::open)
    }

    /// Puts the container on a network.
    pub(crate) fn join(&mut self, attachment: &Attachment) -> Outcome<()> {
        join::join(&mut self.sockets, self.namespace.as_fd(), attachment)?;
        self.interfaces.push(attachment.host_interface.clone());
        Ok(())
    }

    /// Takes the container off the network of an interface.
    pub(crate) fn leave(&mut self, host_interface: &str) -> Outcome<()> {
        self.interfaces.retain(|known| known != host_interface);
        join::leave(&mut self.sockets, host_interface)
    }
}

impl Sandbox {
    /// Takes the container off every network. What cannot be taken away goes with the namespace.
    pub(crate) fn leave_all(&mut self) {
        for interface in std::mem::take(&mut self.interfaces) {
            let _ = join::leave(&mut self.sockets, &interface);
        }
    }
}

/// Moves this process into a network namespace.
fn enter(namespace: &OwnedFd) -> Outcome<()> {
    sys::process::enter_namespaces(namespace, libc::CLONE_NEWNET).context(|| "network namespace".to_owned())
}
