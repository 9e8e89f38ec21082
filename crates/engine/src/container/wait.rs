//! Waiting for exits and removals.

use std::future::Future;
use std::sync::Arc;

use bollard_stubs::models::{ContainerWaitExitError, ContainerWaitResponse};

use super::{Container, Progress};
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::types::WaitCondition;

impl Engine {
    /// Waits in two steps. The outer future resolves once the container was found and the waiter is
    /// registered: what happens from there on is not missed. The inner one resolves with the exit. Both can
    /// be cancelled.
    pub async fn wait_container(
        &self,
        id: &str,
        condition: WaitCondition,
    ) -> Result<impl Future<Output = Result<ContainerWaitResponse>> + Send + use<>> {
        let container = self.inner.registry.find(id)?;
        Ok(container.wait(condition))
    }
}

impl Container {
    /// Waits until the run that is under way has told its end.
    pub(crate) async fn ended(&self) {
        let mut progress = self.progress.subscribe();
        let running = || self.with_record(|record| record.state.phase.is_running());
        // The phase is set before the progress is told.
        let _ = progress.wait_for(|_| !running()).await;
    }

    /// Registers at once; the future resolves when the condition is met.
    pub(crate) fn wait(
        self: &Arc<Self>,
        condition: WaitCondition,
    ) -> impl Future<Output = Result<ContainerWaitResponse>> + Send + use<> {
        let mut progress = self.progress.subscribe();
        let seen = progress.borrow_and_update().exits;
        let running = self.with_record(|record| record.state.phase.is_active());
        let container = self.clone();
        async move {
            let met = |progress: &Progress| match condition {
                WaitCondition::NotRunning => !running || progress.exits > seen || progress.removed,
                WaitCondition::NextExit => progress.exits > seen || progress.removed,
                WaitCondition::Removed => progress.removed,
            };
            let progress = progress
                .wait_for(met)
                .await
                .map_err(|_| EngineError::Internal("the service is stopping".to_owned()))?
                .clone();
            let from_record = condition == WaitCondition::NotRunning && !running;
            let (status_code, error) = if from_record || progress.exits == 0 {
                container.with_record(|record| (record.state.exit_code, record.state.error.clone()))
            } else {
                (progress.exit_code, progress.error.unwrap_or_default())
            };
            let error = Some(error)
                .filter(|error| !error.is_empty())
                .map(|message| ContainerWaitExitError {
                    message: Some(message),
                });
            Ok(ContainerWaitResponse { status_code, error })
        }
    }
}
