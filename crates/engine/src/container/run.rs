//! A container's run, from start to the end of its first process: one task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard_stubs::models::EventMessageTypeEnum;
use journey::Step;
use protocol::ExitStatus;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::Container;
use super::launch::Launched;
use super::restart::Next;
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::machine::Watched;
use crate::record::{KILLED, Phase, Record};
use crate::time;

impl Engine {
    /// Starts a container and returns once its program was executed. A running one is
    /// [`crate::Kind::NotModified`].
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let inner = self.inner.clone();
        self.complete(async move { inner.start(container).await }).await
    }
}

impl Inner {
    /// Starts a container for its user, which forgets the failures of earlier runs.
    pub(crate) async fn start(self: &Arc<Self>, container: Arc<Container>) -> Result<()> {
        let transition = container.transition.clone().lock_owned().await;
        if container.progress.borrow().removed || container.removing.load(Ordering::Acquire) {
            return Err(EngineError::Conflict(
                "container is marked for removal and cannot be started".to_owned(),
            ));
        }
        match container.with_record(|record| record.state.phase) {
            Phase::Running | Phase::Restarting => return Err(EngineError::NotModified),
            Phase::Paused => return Err(EngineError::StartPaused),
            Phase::Dead => {
                return Err(EngineError::Conflict(
                    "container is marked for removal and cannot be started".to_owned(),
                ));
            }
            Phase::Created | Phase::Exited => {}
        }
        container.forget_failures();
        container.update_unasked(&self.state, |record| {
            record.restart_count = 0;
            record.state.stopped_by_user = false;
        });
        self.start_held(container, transition).await
    }

    /// Starts a container whose transition lock is held.
    pub(crate) async fn start_held(
        self: &Arc<Self>,
        container: Arc<Container>,
        transition: OwnedMutexGuard<()>,
    ) -> Result<()> {
        let (started, answer) = oneshot::channel();
        tokio::spawn(journey::carry(self.clone().run(container, transition, started)));
        answer
            .await
            .map_err(|_| EngineError::Internal("the start was interrupted".to_owned()))?
    }

    async fn run(
        self: Arc<Self>,
        container: Arc<Container>,
        transition: OwnedMutexGuard<()>,
        started: oneshot::Sender<Result<()>>,
    ) {
        let launched = match self.launch(&container).await {
            Ok(launched) => launched,
            Err(error) => {
                drop(transition);
                // The client of `run --rm` waits for the removal after the error; it is told of the error
                // first.
                let _ = started.send(Err(error));
                self.remove_after_run(&container).await;
                return;
            }
        };
        let began = time::now();
        container.begin_health();
        self.container_event(&container, "start", []);
        drop(transition);
        let _ = started.send(Ok(()));
        let Launched {
            guest,
            mut watched,
            carried,
        } = launched;
        let health = tokio::spawn(self.clone().check_health(container.clone(), guest.clone()));
        let running = journey::begin();
        let end = self.watch_run(&container, &mut watched).await;
        running.done(|| Step::Ran {
            exit_code: end.map_or(KILLED, |status| i64::from(status.code)),
            out_of_memory: end.is_some_and(|status| status.oom_killed),
        });
        health.abort();
        let draining = journey::begin();
        carried.drain().await;
        draining.done(|| Step::OutputDrained);
        container.finish_log();
        let (exit_code, oom_killed, error) = match end {
            Some(status) => (i64::from(status.code), status.oom_killed, String::new()),
            None => (
                KILLED,
                false,
                self.machine(guest.architecture)
                    .error(guest.wait_end().await)
                    .to_string(),
            ),
        };
        let stops = self.machine(guest.architecture).stops();
        let ran = u64::try_from(time::now().saturating_sub(began)).unwrap_or(0);
        // What ends with its machine starts with it again.
        let next = if guest.is_stopping() {
            Next::Stay
        } else {
            container.after_run(exit_code, Duration::from_nanos(ran))
        };
        let phase = match next {
            Next::Stay => Phase::Exited,
            Next::Restart(_) => Phase::Restarting,
        };
        self.ended(&container, phase, exit_code, oom_killed, error, began);
        match next {
            Next::Restart(wait) => self.restart_later(container, wait, stops).await,
            Next::Stay => self.remove_after_run(&container).await,
        }
    }

    /// Waits for the exit and tells of out-of-memory kills meanwhile. `None` means that the guest is gone.
    async fn watch_run(&self, container: &Container, watched: &mut Watched) -> Option<ExitStatus> {
        let mut listening = true;
        loop {
            tokio::select! {
                exit = &mut watched.exit => return exit.ok(),
                kill = watched.out_of_memory.recv(), if listening => match kill {
                    Some(()) => self.container_event(container, "oom", []),
                    None => listening = false,
                },
            }
        }
    }

    /// Publishes the end of a run, after its last byte was logged and handed on.
    fn ended(
        &self,
        container: &Container,
        phase: Phase,
        exit_code: i64,
        oom_killed: bool,
        error: String,
        began: i64,
    ) {
        let finished = time::now();
        let guest = container.guest();
        container.set_guest(None);
        self.unwire(container, guest.as_deref());
        self.execs.forget_running(&container.id);
        container.update_unasked(&self.state, |record| {
            record.state.phase = phase;
            record.state.exit_code = exit_code;
            record.state.oom_killed = oom_killed;
            record.state.error.clone_from(&error);
            record.state.finished = Some(finished);
            record.state.pid = 0;
        });
        // A client that sees the end of the output finds the container exited.
        container.renew_stdin();
        container.hub.close();
        let seconds = finished.saturating_sub(began) / 1_000_000_000;
        self.container_event(
            container,
            "die",
            [
                ("exitCode".to_owned(), exit_code.to_string()),
                ("execDuration".to_owned(), seconds.to_string()),
            ],
        );
        container.progress.send_modify(|progress| {
            progress.exits = progress.exits.saturating_add(1);
            progress.exit_code = exit_code;
            progress.error = Some(error).filter(|error| !error.is_empty());
        });
    }

    async fn remove_after_run(&self, container: &Arc<Container>) {
        if !container.with_record(Record::auto_remove) || container.restarting.load(Ordering::Acquire) {
            return;
        }
        match self.remove(container, true, true).await {
            // Somebody else removes it already.
            Ok(()) | Err(EngineError::RemovalInProgress(_)) => {}
            Err(error) => {
                tracing::error!(%error, container = container.id, "a container was not removed after its run")
            }
        }
    }

    /// Tells of something that happened to a container.
    pub(crate) fn container_event(
        &self,
        container: &Container,
        action: &str,
        more: impl IntoIterator<Item = (String, String)>,
    ) {
        let mut attributes = container.event_attributes();
        attributes.extend(more);
        self.events.publish(
            EventMessageTypeEnum::CONTAINER,
            action,
            container.id.clone(),
            attributes,
        );
    }
}
