//! Signals, stopping, pausing, renaming, resizing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{FailureKind, Request, WindowSize};

use super::{Container, signal, validate};
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::machine::GuestError;
use crate::record::{Phase, Record};
use crate::types::WaitCondition;

/// Seconds that a container is given to end by itself, as in Docker.
const GRACE: i64 = 10;
/// How long a process may take to be gone after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Sends the stop signal, waits for the grace (`timeout` seconds; negative waits for ever), then kills.
    /// Returns once the container stopped. One that does not run is [`crate::Kind::NotModified`].
    pub async fn stop_container(&self, id: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let signal = signal
            .filter(|text| !text.is_empty())
            .map(signal::parse)
            .transpose()?;
        let inner = self.inner.clone();
        self.complete(async move { inner.stop(&container, signal, timeout).await })
            .await
    }

    /// Stops the container if it runs and starts it.
    pub async fn restart_container(
        &self,
        id: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let signal = signal
            .filter(|text| !text.is_empty())
            .map(signal::parse)
            .transpose()?;
        let inner = self.inner.clone();
        self.complete(async move {
            // One that goes away with its run stays for the next.
            container.restarting.store(true, Ordering::Release);
            let stopped = inner.stop(&container, signal, timeout).await;
            let started = match stopped {
                Ok(()) | Err(EngineError::NotModified) => inner.start(container.clone()).await,
                Err(error) => Err(error),
            };
            container.restarting.store(false, Ordering::Release);
            match started {
                Ok(()) | Err(EngineError::NotModified) => {
                    inner.container_event(&container, "restart", []);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Sends a signal, SIGKILL where none is given. Returns once it was sent; after SIGKILL, once the
    /// container stopped.
    pub async fn kill_container(&self, id: &str, signal: Option<&str>) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let number = signal
            .filter(|text| !text.is_empty())
            .map_or(Ok(signal::SIGKILL), signal::parse)?;
        let (inner, name) = (self.inner.clone(), id.to_owned());
        self.complete(async move {
            let failed = |cause: EngineError| EngineError::CannotKill {
                name: name.clone(),
                cause: Box::new(cause),
            };
            // What the user kills, whatever the signal, is not started again.
            if container.with_record(|record| record.state.phase.is_active()) {
                inner.stopped_by_user(&container);
            }
            if inner.cancel_restart(&container).await {
                return Ok(());
            }
            if number == signal::SIGKILL {
                inner.kill(&container).await.map_err(failed)
            } else {
                inner.signal(&container, number).await.map_err(failed)
            }
        })
        .await
    }

    /// Freezes every process of the container.
    pub async fn pause_container(&self, id: &str) -> Result<()> {
        self.set_paused(id, true).await
    }

    /// Thaws every process of the container.
    pub async fn unpause_container(&self, id: &str) -> Result<()> {
        self.set_paused(id, false).await
    }

    async fn set_paused(&self, id: &str, paused: bool) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let inner = self.inner.clone();
        self.complete(async move {
            let _transition = container.transition.lock().await;
            match (container.with_record(|record| record.state.phase), paused) {
                (Phase::Paused, true) => return Err(EngineError::AlreadyPaused(container.id.clone())),
                (Phase::Running, false) => return Err(EngineError::NotPaused(container.id.clone())),
                (Phase::Running | Phase::Paused, _) => {}
                _ => return Err(EngineError::NotRunning(container.id.clone())),
            }
            inner.freeze(&container, paused).await
        })
        .await
    }

    /// Gives the container another name.
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        if name.is_empty() {
            return Err(EngineError::BadRequest(
                "Neither old nor new names may be empty".to_owned(),
            ));
        }
        let name = validate::name(name)?.to_owned();
        let inner = self.inner.clone();
        self.complete(async move {
            let _transition = container.transition.lock().await;
            let old = container.with_record(|record| record.name.clone());
            if old == name {
                return Err(EngineError::BadRequest(
                    "Renaming a container with the same name as its current name".to_owned(),
                ));
            }
            inner.registry.reserve(Some(&name), &container.id)?;
            if let Err(error) = inner
                .commit(&container, |record| record.name.clone_from(&name))
                .await
            {
                inner.registry.release(&name, &container.id);
                return Err(error);
            }
            inner.registry.release(&old, &container.id);
            inner.container_event(&container, "rename", [("oldName".to_owned(), format!("/{old}"))]);
            Ok(())
        })
        .await
    }

    /// Tells the container's terminal its size. As with Docker, one without a terminal takes no notice.
    pub async fn resize_container(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let container = self.inner.registry.find(id)?;
        let guest = container
            .guest()
            .ok_or_else(|| EngineError::NotRunning(container.id.clone()))?;
        if container.with_record(|record| record.config.tty == Some(true)) {
            let request = Request::Resize {
                container: container.id.clone(),
                exec: None,
                size: WindowSize { rows, columns },
            };
            guest
                .request(request)
                .await
                .map_err(|error| container.request_error(error))?;
        }
        self.inner.container_event(
            &container,
            "resize",
            [
                ("height".to_owned(), rows.to_string()),
                ("width".to_owned(), columns.to_string()),
            ],
        );
        Ok(())
    }
}

impl Inner {
    /// Changes the record and returns once that is on disk.
    pub(crate) async fn commit(&self, container: &Container, change: impl FnOnce(&mut Record)) -> Result<()> {
        container.update(&self.state, change)?.on_disk().await
    }

    pub(crate) async fn freeze(&self, container: &Arc<Container>, paused: bool) -> Result<()> {
        let guest = container
            .guest()
            .ok_or_else(|| EngineError::NotRunning(container.id.clone()))?;
        let request = Request::Pause {
            container: container.id.clone(),
            paused,
        };
        guest
            .request(request)
            .await
            .map_err(|error| container.request_error(error))?;
        let phase = if paused { Phase::Paused } else { Phase::Running };
        self.commit(container, |record| {
            // It may have ended meanwhile.
            if record.state.phase.is_running() {
                record.state.phase = phase;
            }
        })
        .await?;
        self.container_event(container, if paused { "pause" } else { "unpause" }, []);
        Ok(())
    }

    /// Sends a signal to the container's first process.
    pub(crate) async fn signal(&self, container: &Arc<Container>, signal: i32) -> Result<()> {
        let guest = container
            .guest()
            .ok_or_else(|| EngineError::NotRunning(container.id.clone()))?;
        let request = Request::Signal {
            container: container.id.clone(),
            exec: None,
            signal,
        };
        guest
            .request(request)
            .await
            .map_err(|error| container.request_error(error))?;
        self.container_event(container, "kill", [("signal".to_owned(), signal.to_string())]);
        Ok(())
    }

    /// Notes that the run ends by the user's wish: no policy starts the container again.
    fn stopped_by_user(&self, container: &Container) {
        container.update_unasked(&self.state, |record| record.state.stopped_by_user = true);
    }

    /// Kills a container that no policy is to start again.
    pub(crate) async fn kill_for_good(&self, container: &Arc<Container>) -> Result<()> {
        self.stopped_by_user(container);
        self.kill(container).await
    }

    /// Sends SIGKILL and waits until the container stopped.
    pub(crate) async fn kill(&self, container: &Arc<Container>) -> Result<()> {
        let exit = container.wait(WaitCondition::NotRunning);
        self.signal(container, signal::SIGKILL).await?;
        match tokio::time::timeout(KILL_PATIENCE, exit).await {
            Ok(exit) => exit.map(drop),
            Err(_) => Err(EngineError::Internal(format!(
                "container {} did not end within {} seconds of SIGKILL",
                container.id,
                KILL_PATIENCE.as_secs()
            ))),
        }
    }

    pub(crate) async fn stop(
        &self,
        container: &Arc<Container>,
        asked: Option<i32>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let exit = container.wait(WaitCondition::NotRunning);
        let (phase, signal, grace) = container.with_record(|record| {
            let own = record
                .config
                .stop_signal
                .as_deref()
                .and_then(|text| signal::parse(text).ok());
            (
                record.state.phase,
                asked.or(own).unwrap_or(signal::SIGTERM),
                timeout.or(record.config.stop_timeout).unwrap_or(GRACE),
            )
        });
        if !phase.is_active() {
            return Err(EngineError::NotModified);
        }
        self.stopped_by_user(container);
        if self.cancel_restart(container).await {
            self.container_event(container, "stop", []);
            return Ok(());
        }
        // A restart that was under way has made it run, or has failed.
        let phase = container.with_record(|record| record.state.phase);
        if !phase.is_running() {
            self.container_event(container, "stop", []);
            return Ok(());
        }
        match self.signal(container, signal).await {
            Ok(()) => {}
            // It ended by itself just now.
            Err(EngineError::NotRunning(_)) => {}
            Err(error) => return Err(error),
        }
        if phase == Phase::Paused {
            // A frozen process takes its signal once it is thawed.
            match self.freeze(container, false).await {
                Ok(()) | Err(EngineError::NotRunning(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let ended = match u64::try_from(grace) {
            Ok(seconds) => tokio::time::timeout(Duration::from_secs(seconds), exit)
                .await
                .is_ok(),
            Err(_) => exit.await.is_ok(),
        };
        if !ended {
            match self.kill(container).await {
                Ok(()) | Err(EngineError::NotRunning(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.container_event(container, "stop", []);
        Ok(())
    }
}

impl Container {
    /// What a failed request about a running container is called.
    pub(crate) fn request_error(&self, error: GuestError) -> EngineError {
        match error {
            GuestError::Refused(failure) if failure.kind == FailureKind::NotRunning => {
                EngineError::NotRunning(self.id.clone())
            }
            GuestError::Refused(failure) if failure.kind == FailureKind::Invalid => {
                EngineError::BadRequest(failure.message)
            }
            GuestError::Gone => EngineError::NotRunning(self.id.clone()),
            error => EngineError::Internal(format!("container {}: {error}", self.id)),
        }
    }
}
