//! Starting a container in its guest: image layers, streams, the request, and Docker's words for what went
//! wrong.

use std::sync::Arc;

use journey::Step;
use protocol::{FailureKind, Namespace, Network, Request, WindowSize};

use super::spec::Surroundings;
use super::stdio::{self, Carried, Ends, Wanted};
use super::{Container, spec};
use crate::engine::Inner;
use crate::error::{EngineError, Result};
use crate::machine::{Guest, GuestError, Lease, Machine, ProcessKey, Watched};
use crate::network::Wiring;
use crate::record::{Phase, Record};
use crate::time;

/// How every failure to execute a program begins.
const CREATE_FAILED: &str = "failed to create task for container: failed to create shim task: OCI runtime create \
                             failed: runc create failed: unable to start container process: ";
/// How a failure ends for want of room on the data disk, whose folders all lie in [`DATA_DISK`].
const DISK_FULL: &str = "no space left on device";
/// Where the guest has the data disk.
const DATA_DISK: &str = " /data/";
/// The exit code of a container that could not be started for another reason than its program.
const START_FAILED: i64 = 128;

/// A container that runs.
pub(crate) struct Launched {
    pub(crate) guest: Lease,
    pub(crate) watched: Watched,
    pub(crate) carried: Carried,
}

impl Inner {
    /// Starts the container. The caller holds its transition lock.
    pub(crate) async fn launch(&self, container: &Arc<Container>) -> Result<Launched> {
        let machine = self
            .machine(container.with_record(|record| record.architecture))
            .clone();
        let launched = self.try_launch(container, &machine).await;
        if let Err(error) = &launched {
            self.unwire(container, machine.running().as_deref());
            let exit_code = match error {
                EngineError::StartFailed { state_code, .. } => *state_code,
                _ => START_FAILED,
            };
            container.finish_log();
            container.hub.close();
            container.renew_stdin();
            let change = |record: &mut Record| {
                record.state.error = error.to_string();
                record.state.exit_code = exit_code;
                record.state.pid = 0;
            };
            if container.with_record(Record::auto_remove) {
                container.update_unasked(&self.state, change);
            } else if let Err(error) = self.commit(container, change).await {
                tracing::error!(%error, "a failed start was not recorded");
            }
        }
        launched
    }

    async fn try_launch(&self, container: &Arc<Container>, machine: &Arc<Machine>) -> Result<Launched> {
        let record = container.record();
        let guest = machine.guest().await?;
        self.check_room(&guest)?;
        let image = self.find_image(&record.image_id, None).await?;
        let ends = Ends {
            hub: container.hub.clone(),
            stdin: container.stdin(),
            log: container.log.clone(),
        };
        let wanted = Wanted {
            terminal: record.tty().then(|| console_size(&record)),
            stdin: record.config.open_stdin.unwrap_or(false),
            stdout: true,
            stderr: true,
        };
        container.begin_log(&record)?;
        let (stdio, carried) = stdio::carry(&guest, wanted, &ends)?;
        let gate = guest.layers_in_use().await;
        let layers = guest.map_layers(&image.layers).await.map_err(|message| {
            EngineError::Internal(format!("image {} cannot be used: {message}", record.image_name()))
        })?;
        let kernel = spec::kernel_version(&guest.hello.kernel_release);
        let wiring = journey::begin();
        let wired = self.wire(container, &record, &guest);
        wiring.ended(&wired, || wired_step(&record, wired.as_ref().ok()));
        let surroundings = Surroundings {
            volumes: self.volume_mounts(&record)?,
            wiring: wired?,
            pid: self.namespace(record.host_config.pid_mode.as_deref(), "PID namespace")?,
            ipc: self.namespace(record.host_config.ipc_mode.as_deref(), "IPC namespace")?,
            uts: self.namespace(record.host_config.uts_mode.as_deref(), "UTS namespace")?,
        };
        let spec = spec::container(&record, kernel, layers, surroundings, stdio)?;
        let key = ProcessKey {
            container: record.id.clone(),
            exec: None,
        };
        let watched = match guest.watch(key.clone()) {
            Ok(watched) => watched,
            Err(error) => return Err(guest_error(error, &guest, machine).await),
        };
        // On disk the container runs from before it can have run: after a crash in between, it is told as
        // killed.
        let started = time::now();
        let running = |record: &mut Record| {
            record.state.phase = Phase::Running;
            record.state.exit_code = 0;
            record.state.error.clear();
            record.state.oom_killed = false;
            record.state.started = Some(started);
            record.state.finished = None;
            record.ran = true;
        };
        // One that goes away with its run does not outlive the service: see `Inner::create`.
        let lazily = container.with_record(Record::auto_remove);
        let commit = container.mark(&self.state, running, lazily)?;
        let (committed, answer) = tokio::join!(
            async {
                match commit {
                    Some(commit) => journey::measured(commit.on_disk(), |_| Step::RunRecorded).await,
                    None => Ok(()),
                }
            },
            journey::measured(guest.start(Request::Start(Box::new(spec))), |pid| Step::Started {
                pid: pid.copied().unwrap_or_default(),
            })
        );
        drop(gate);
        match (answer, committed) {
            (Ok(pid), Ok(())) => {
                container.set_guest(Some(guest.clone()));
                container.update_memory(|record| {
                    running(record);
                    record.state.pid = pid;
                });
                Ok(Launched {
                    guest,
                    watched,
                    carried,
                })
            }
            (Ok(_), Err(error)) => {
                guest.forget(&record.id);
                guest.unwatch(&key);
                Err(error)
            }
            (Err(error), _) => {
                guest.unwatch(&key);
                Err(guest_error(error, &guest, machine).await)
            }
        }
    }
}

/// What is told of the way in which a container was put on its networks.
fn wired_step(record: &Record, wiring: Option<&Wiring>) -> Step {
    let attachments = match wiring.map(|wiring| &wiring.network) {
        Some(Network::Own { attachments, .. }) => attachments.as_slice(),
        _ => &[],
    };
    let addresses = attachments.iter().flat_map(|attachment| &attachment.addresses);
    Step::Wired {
        network: record.host_config.network_mode.clone().unwrap_or_default(),
        addresses: addresses
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect(),
    }
}

impl Inner {
    /// The namespace of a mode such as `container:ID`.
    fn namespace(&self, mode: Option<&str>, what: &str) -> Result<Namespace> {
        Ok(match mode {
            Some("host") => Namespace::Machine,
            Some(mode) => match mode.strip_prefix("container:") {
                Some(id) => Namespace::Container(self.running(id, what)?.id.clone()),
                None => Namespace::Own,
            },
            None => Namespace::Own,
        })
    }
}

impl Container {
    /// Sends a changed copy of the record to the database and leaves the one in memory as it is.
    fn mark(
        &self,
        state: &crate::state::State,
        change: impl FnOnce(&mut Record),
        lazily: bool,
    ) -> Result<Option<crate::state::Commit>> {
        let mut copy = self.record();
        change(&mut copy);
        if lazily {
            state.put_lazily(&copy)?;
            Ok(None)
        } else {
            state.put(&copy).map(Some)
        }
    }

    /// Changes the record in memory to what is on its way to the database already.
    fn update_memory(&self, change: impl FnOnce(&mut Record)) {
        use crate::lock::LockExt;
        change(&mut self.record.locked());
    }
}

fn console_size(record: &Record) -> WindowSize {
    let size = record.host_config.console_size.as_deref().unwrap_or_default();
    let dimension = |index: usize| {
        size.get(index)
            .and_then(|value| u16::try_from(*value).ok())
            .unwrap_or(0)
    };
    WindowSize {
        rows: dimension(0),
        columns: dimension(1),
    }
}

/// What a failed start is called, with the exit code that `inspect` shows.
async fn guest_error(error: GuestError, guest: &Guest, machine: &Machine) -> EngineError {
    match error {
        GuestError::Refused(failure) => {
            let state_code = match failure.kind {
                FailureKind::ProgramNotFound => 127,
                FailureKind::ProgramNotExecutable => 126,
                _ => START_FAILED,
            };
            let message = match failure.kind {
                FailureKind::UnknownUser => failure.message,
                _ if failure.message.ends_with(DISK_FULL) && failure.message.contains(DATA_DISK) => format!(
                    "{CREATE_FAILED}error during container init: {}: the data disk of the linux/{} machine is full; \
                     remove containers that are no longer needed (`sampan rm`), then try again",
                    failure.message,
                    machine.architecture()
                ),
                _ => format!("{CREATE_FAILED}error during container init: {}", failure.message),
            };
            EngineError::StartFailed { message, state_code }
        }
        GuestError::Gone => machine.error(guest.wait_end().await),
        error @ (GuestError::Silent(_) | GuestError::Unsendable(_)) => {
            machine.error(format!("failed: {error}"))
        }
    }
}
