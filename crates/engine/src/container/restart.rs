//! Restart policies (moby `restartmanager`): what follows the end of a run, and which containers start with the
//! service and with their machine.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bollard_stubs::models::{HostConfig, RestartPolicy, RestartPolicyNameEnum};
use protocol::Architecture;

use super::Container;
use crate::engine::Inner;
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::record::{Phase, Record};

/// The wait before the first restart; each further one is twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A run of this length makes the next wait the first one again.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// What comes after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The container stays as it is.
    Stay,
    /// It starts again after this wait.
    Restart(Duration),
}

fn policy(host: &HostConfig) -> (RestartPolicyNameEnum, i64) {
    let policy = host.restart_policy.as_ref();
    let name = policy
        .and_then(|policy| policy.name)
        .unwrap_or(RestartPolicyNameEnum::NO);
    (
        name,
        policy.and_then(|policy| policy.maximum_retry_count).unwrap_or(0),
    )
}

/// Whether a policy says anything at all.
pub(crate) fn is_set(host: &HostConfig) -> bool {
    !matches!(
        policy(host).0,
        RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY
    )
}

/// Refuses a policy that contradicts itself, in Docker's words.
pub(crate) fn validate(policy: Option<&RestartPolicy>) -> Result<()> {
    let Some(policy) = policy else { return Ok(()) };
    let count = policy.maximum_retry_count.unwrap_or(0);
    let text = match policy.name {
        Some(RestartPolicyNameEnum::ON_FAILURE) if count < 0 => {
            "invalid restart policy: maximum retry count cannot be negative"
        }
        Some(RestartPolicyNameEnum::ON_FAILURE) => return Ok(()),
        _ if count != 0 => "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        _ => return Ok(()),
    };
    Err(EngineError::BadRequest(text.to_owned()))
}

/// Whether the policy wants a container to run that ended with this code.
fn wants(record: &Record, exit_code: i64) -> bool {
    let stopped = record.state.stopped_by_user;
    match policy(&record.host_config) {
        (RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED, _) => !stopped,
        (RestartPolicyNameEnum::ON_FAILURE, most) => {
            let left = most == 0 || record.restart_count < most;
            !stopped && exit_code != 0 && left
        }
        _ => false,
    }
}

/// Whether a container that does not run starts with the service or its machine. `always` forgets that the user
/// stopped it.
fn starts_by_itself(record: &Record) -> bool {
    match policy(&record.host_config).0 {
        RestartPolicyNameEnum::ALWAYS => record.ran || record.state.started.is_some(),
        RestartPolicyNameEnum::UNLESS_STOPPED | RestartPolicyNameEnum::ON_FAILURE => {
            record.state.started.is_some() && wants(record, record.state.exit_code)
        }
        _ => false,
    }
}

/// The wait before the next restart, after a run of this length.
fn wait_after(last: Option<Duration>, run: Duration) -> Duration {
    match last {
        Some(last) if run < GOOD_RUN => last.saturating_mul(2).min(LONGEST_WAIT),
        _ => FIRST_WAIT,
    }
}

impl Container {
    /// What the policy says to the end of a run of this length.
    pub(crate) fn after_run(&self, exit_code: i64, run: Duration) -> Next {
        if !self.with_record(|record| wants(record, exit_code)) {
            return Next::Stay;
        }
        let mut last = self.last_wait.locked();
        let wait = wait_after(*last, run);
        *last = Some(wait);
        Next::Restart(wait)
    }

    /// Forgets the failures of earlier runs: the user starts it.
    pub(crate) fn forget_failures(&self) {
        *self.last_wait.locked() = None;
    }
}

impl Inner {
    /// Waits, and starts the container again unless it was stopped or removed meanwhile. `stops` is how often its machine
    /// had been stopped at the end of its run.
    pub(crate) fn restart_later(
        self: Arc<Self>,
        container: Arc<Container>,
        wait: Duration,
        stops: u64,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = container.restart_cancelled.notified() => return,
            }
            let transition = container.transition.clone().lock_owned().await;
            if container.with_record(|record| record.state.phase) != Phase::Restarting
                || container.progress.borrow().removed
            {
                return;
            }
            let machine = self.machine(container.with_record(|record| record.architecture));
            // The user may have wished for its end before it was known that it would start again, or for that of its
            // machine, with whose next boot it starts.
            if machine.stops() != stops && machine.running().is_none()
                || container.with_record(|record| record.state.stopped_by_user)
                || container.removing.load(Ordering::Acquire)
            {
                self.give_restart_up(&container);
                return;
            }
            container.update_unasked(&self.state, |record| {
                record.restart_count = record.restart_count.saturating_add(1);
            });
            if let Err(error) = self.start_held(container.clone(), transition).await {
                tracing::warn!(%error, container = container.id, "a container could not be started again");
                let _transition = container.transition.lock().await;
                if container.with_record(|record| record.state.phase) == Phase::Restarting {
                    self.give_restart_up(&container);
                }
            }
        })
    }

    /// Gives a restart up that is waited for; one that is under way comes to its end first. Says whether there was one
    /// to give up.
    pub(crate) async fn cancel_restart(&self, container: &Container) -> bool {
        if container.with_record(|record| record.state.phase) != Phase::Restarting {
            return false;
        }
        let _transition = container.transition.lock().await;
        let waited = container.with_record(|record| record.state.phase) == Phase::Restarting;
        if waited {
            self.give_restart_up(container);
        }
        waited
    }

    /// Makes a container that was to start again one that has exited. The caller holds its transition lock.
    pub(crate) fn give_restart_up(&self, container: &Container) {
        container.update_unasked(&self.state, |record| record.state.phase = Phase::Exited);
        container.restart_cancelled.notify_waiters();
        // Who waits for it to be at rest has waited long enough.
        container
            .progress
            .send_modify(|progress| progress.exits = progress.exits.saturating_add(1));
    }

    /// Gives up every restart that is waited for in a machine that was stopped: its next boot starts what is to run.
    pub(crate) async fn give_restarts_up(&self, architecture: Architecture) {
        for container in self.registry.all() {
            let waits = |record: &Record| {
                record.state.phase == Phase::Restarting && record.architecture == architecture
            };
            if !container.with_record(waits) {
                continue;
            }
            let _transition = container.transition.lock().await;
            if container.with_record(waits) && self.machine(architecture).running().is_none() {
                self.give_restart_up(&container);
            }
        }
    }

    /// Starts what the policies want to run, of one architecture or of both. Failures are told in the log.
    pub(crate) async fn start_by_policy(self: &Arc<Self>, architecture: Option<Architecture>) {
        for container in self.registry.all() {
            let wanted = container.with_record(|record| {
                !record.state.phase.is_active()
                    && architecture.is_none_or(|architecture| architecture == record.architecture)
                    && starts_by_itself(record)
            });
            if !wanted {
                continue;
            }
            let inner = self.clone();
            // Each by itself: one that hangs holds no other up.
            tokio::spawn(async move {
                match inner.start(container.clone()).await {
                    Ok(()) | Err(EngineError::NotModified) => {}
                    Err(error) => {
                        tracing::warn!(%error, container = container.id, "a container could not be started by its policy");
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::record::tests::record;

    fn with_policy(name: RestartPolicyNameEnum, most: i64) -> Record {
        let mut record = record("a");
        record.host_config.restart_policy = Some(RestartPolicy {
            name: Some(name),
            maximum_retry_count: Some(most),
        });
        record
    }

    #[rstest]
    #[case(RestartPolicyNameEnum::NO, 1, false)]
    #[case(RestartPolicyNameEnum::ALWAYS, 0, true)]
    #[case(RestartPolicyNameEnum::UNLESS_STOPPED, 0, true)]
    #[case(RestartPolicyNameEnum::ON_FAILURE, 0, false)]
    #[case(RestartPolicyNameEnum::ON_FAILURE, 3, true)]
    fn a_policy_looks_at_the_exit_code(
        #[case] name: RestartPolicyNameEnum,
        #[case] code: i64,
        #[case] wanted: bool,
    ) {
        assert_eq!(wants(&with_policy(name, 0), code), wanted);
    }

    #[test]
    fn failures_are_counted_up_to_the_policys_number() {
        let mut record = with_policy(RestartPolicyNameEnum::ON_FAILURE, 2);
        record.restart_count = 1;
        assert!(wants(&record, 1));
        record.restart_count = 2;
        assert!(!wants(&record, 1));
    }

    #[test]
    fn what_the_user_stopped_stays_stopped_unless_the_policy_is_always() {
        for (name, starts) in [
            (RestartPolicyNameEnum::ALWAYS, true),
            (RestartPolicyNameEnum::UNLESS_STOPPED, false),
        ] {
            let mut record = with_policy(name, 0);
            record.state.started = Some(1);
            record.state.stopped_by_user = true;
            assert!(!wants(&record, 0));
            assert_eq!(starts_by_itself(&record), starts);
        }
    }

    #[test]
    fn a_container_that_was_never_started_does_not_start_by_itself() {
        assert!(!starts_by_itself(&with_policy(RestartPolicyNameEnum::ALWAYS, 0)));
    }

    #[test]
    fn waits_double_up_to_a_minute_and_a_good_run_makes_them_short_again() {
        let mut wait = wait_after(None, Duration::ZERO);
        assert_eq!(wait, FIRST_WAIT);
        for _ in 0..20 {
            wait = wait_after(Some(wait), Duration::from_secs(1));
        }
        assert_eq!(wait, LONGEST_WAIT);
        assert_eq!(wait_after(Some(wait), GOOD_RUN), FIRST_WAIT);
    }

    #[test]
    fn a_count_belongs_to_on_failure_alone() {
        let policy = |name, count| RestartPolicy {
            name: Some(name),
            maximum_retry_count: Some(count),
        };
        assert!(validate(Some(&policy(RestartPolicyNameEnum::ON_FAILURE, 3))).is_ok());
        assert!(validate(Some(&policy(RestartPolicyNameEnum::ON_FAILURE, -1))).is_err());
        assert!(validate(Some(&policy(RestartPolicyNameEnum::ALWAYS, 3))).is_err());
    }
}
