//! Health checks (moby `daemon/health.go`): a command in the container every so often, and what its exit codes come
//! to. A container with one begins as *starting*; one success makes it *healthy*, so many failures in a row
//! *unhealthy*, and failures in the start period do not count.

use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{ExecConfig, Health, HealthConfig, HealthStatusEnum, HealthcheckResult};
use bytes::BytesMut;
use protocol::Request;

use super::Container;
use super::signal::SIGKILL;
use crate::engine::Inner;
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::machine::{Guest, Lease};
use crate::record::Phase;
use crate::stream::Attached;
use crate::time;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
/// The shortest time that a configuration may ask for, in nanoseconds.
const SHORTEST: i64 = 1_000_000;
const LEAST: Duration = Duration::from_millis(1);
/// Results that are kept.
const LOG: usize = 5;
/// Bytes of output that are kept of each.
const OUTPUT: usize = 4096;
/// The exit code of a check that could not be made or took too long.
const NO_RESULT: i64 = -1;

/// What a container's configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Check {
    /// The check of a configuration; `None` where there is none. `shell` is what runs a command that is one text.
    pub(crate) fn of(config: Option<&HealthConfig>, shell: Option<&[String]>) -> Option<Self> {
        let config = config?;
        let test = config.test.as_deref().unwrap_or_default();
        let (kind, words) = test.split_first()?;
        let command = match kind.as_str() {
            "CMD" => words.to_vec(),
            "CMD-SHELL" => {
                let mut command = match shell {
                    Some(shell) if !shell.is_empty() => shell.to_vec(),
                    _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
                };
                command.extend(words.first().cloned());
                command
            }
            _ => return None,
        };
        let time = |value: Option<i64>, default| match value.map(u64::try_from) {
            Some(Ok(nanoseconds)) if nanoseconds > 0 => Duration::from_nanos(nanoseconds).max(LEAST),
            _ => default,
        };
        (!command.is_empty()).then(|| Self {
            command,
            interval: time(config.interval, INTERVAL),
            timeout: time(config.timeout, TIMEOUT),
            start_period: time(config.start_period, Duration::ZERO),
            start_interval: time(config.start_interval, START_INTERVAL),
            retries: config.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES),
        })
    }

    /// The wait before the next check, `age` after the container's start.
    fn wait(&self, status: HealthStatusEnum, age: Duration) -> Duration {
        if status == HealthStatusEnum::STARTING && age < self.start_period {
            self.start_interval.min(self.interval)
        } else {
            self.interval
        }
    }
}

/// Refuses a configuration that contradicts itself, in Docker's words.
pub(crate) fn validate(config: Option<&HealthConfig>) -> Result<()> {
    let Some(config) = config else { return Ok(()) };
    for (name, value) in [
        ("Interval", config.interval),
        ("Timeout", config.timeout),
        ("StartPeriod", config.start_period),
        ("StartInterval", config.start_interval),
    ] {
        if value.is_some_and(|value| value != 0 && value < SHORTEST) {
            return Err(EngineError::BadRequest(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if config.retries.is_some_and(|retries| retries < 0) {
        return Err(EngineError::BadRequest(
            "Retries in Healthcheck cannot be negative".to_owned(),
        ));
    }
    let kind = config.test.as_deref().and_then(<[String]>::first);
    match kind.map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => Err(EngineError::BadRequest(format!(
            "unknown type {other:?} in Healthcheck (expected \"CMD\", \"CMD-SHELL\" or \"NONE\")"
        ))),
    }
}

/// A request's check over the image's: what the request does not say is the image's.
pub(crate) fn merged(asked: Option<HealthConfig>, image: Option<HealthConfig>) -> Option<HealthConfig> {
    let (Some(mut asked), Some(image)) = (asked.clone(), image.clone()) else {
        return asked.or(image);
    };
    fn fill(own: &mut Option<i64>, image: Option<i64>) {
        if own.unwrap_or(0) == 0 {
            *own = image;
        }
    }
    if asked.test.as_ref().is_none_or(Vec::is_empty) {
        asked.test = image.test;
    }
    fill(&mut asked.interval, image.interval);
    fill(&mut asked.timeout, image.timeout);
    fill(&mut asked.start_period, image.start_period);
    fill(&mut asked.start_interval, image.start_interval);
    fill(&mut asked.retries, image.retries);
    Some(asked)
}

/// The health of a container that has just started.
fn starting() -> Health {
    Health {
        status: Some(HealthStatusEnum::STARTING),
        failing_streak: Some(0),
        log: Some(Vec::new()),
    }
}

/// Takes a result in. Returns the new status if it is another one.
fn note(
    health: &mut Health,
    check: &Check,
    age: Duration,
    result: HealthcheckResult,
) -> Option<HealthStatusEnum> {
    let before = health.status.unwrap_or(HealthStatusEnum::STARTING);
    let streak = health.failing_streak.unwrap_or(0);
    if result.exit_code == Some(0) {
        health.failing_streak = Some(0);
        health.status = Some(HealthStatusEnum::HEALTHY);
    } else if before != HealthStatusEnum::STARTING || age >= check.start_period {
        let streak = streak.saturating_add(1);
        health.failing_streak = Some(streak);
        if streak >= check.retries {
            health.status = Some(HealthStatusEnum::UNHEALTHY);
        }
    }
    let log = health.log.get_or_insert_default();
    if log.len() >= LOG {
        log.remove(0);
    }
    log.push(result);
    health.status.filter(|status| *status != before)
}

impl Container {
    /// What is known of its health; `None` without a check.
    pub(crate) fn health(&self) -> Option<Health> {
        self.health.locked().clone()
    }

    /// Forgets what the checks of the run before came to.
    pub(crate) fn begin_health(&self) {
        let checked = self.with_record(|record| {
            Check::of(record.config.healthcheck.as_ref(), record.config.shell.as_deref()).is_some()
        });
        *self.health.locked() = checked.then(starting);
    }

    /// The status of its health, `none` without a check.
    pub(crate) fn health_status(&self) -> HealthStatusEnum {
        let health = self.health.locked();
        health
            .as_ref()
            .and_then(|health| health.status)
            .unwrap_or(HealthStatusEnum::NONE)
    }
}

impl Inner {
    /// Checks a container's health for as long as it runs. The caller ends it with the run.
    pub(crate) async fn check_health(self: Arc<Self>, container: Arc<Container>, guest: Lease) {
        let check = container.with_record(|record| {
            Check::of(record.config.healthcheck.as_ref(), record.config.shell.as_deref())
        });
        let Some(check) = check else { return };
        let began = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(check.wait(container.health_status(), began.elapsed())).await;
            // One that stands still cannot answer, and is not ill.
            if container.with_record(|record| record.state.phase) == Phase::Paused {
                continue;
            }
            let result = self.probe(&container, &guest, &check).await;
            let changed = {
                let mut health = container.health.locked();
                note(
                    health.get_or_insert_with(starting),
                    &check,
                    began.elapsed(),
                    result,
                )
            };
            if let Some(status) = changed {
                self.container_event(&container, &format!("health_status: {status}"), []);
            }
        }
    }

    /// One check.
    async fn probe(
        self: &Arc<Self>,
        container: &Arc<Container>,
        guest: &Guest,
        check: &Check,
    ) -> HealthcheckResult {
        let start = time::now();
        let (exit_code, output) = match self.execute_check(container, check).await {
            Ok((exec, attached)) => {
                let mut output = BytesMut::new();
                let finished = tokio::time::timeout(check.timeout, collect(attached, &mut output)).await;
                let mut text = String::from_utf8_lossy(&output).into_owned();
                if finished.is_err() {
                    let request = Request::Signal {
                        container: container.id.clone(),
                        exec: Some(exec),
                        signal: SIGKILL,
                    };
                    let _ = guest.request(request).await;
                    text = format!(
                        "Health check exceeded timeout ({})",
                        time::go_duration(check.timeout)
                    );
                    (NO_RESULT, text)
                } else {
                    (self.execs.exit_code(&exec).unwrap_or(NO_RESULT), text)
                }
            }
            Err(error) => (NO_RESULT, error.to_string()),
        };
        HealthcheckResult {
            start: Some(time::rfc3339(start)),
            end: Some(time::rfc3339(time::now())),
            exit_code: Some(exit_code),
            output: Some(output),
        }
    }

    async fn execute_check(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &Check,
    ) -> Result<(String, Attached)> {
        let config = ExecConfig {
            cmd: Some(check.command.clone()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = self.new_exec(container, config)?;
        let attached = self.start_exec_by_id(&exec, false, None).await?;
        let attached =
            attached.ok_or_else(|| EngineError::Internal("the health check has no output".to_owned()))?;
        Ok((exec, attached))
    }
}

/// Reads the output to its end and keeps the beginning.
async fn collect(mut attached: Attached, output: &mut BytesMut) {
    while let Some(chunk) = attached.output.recv().await {
        let room = OUTPUT.saturating_sub(output.len());
        output.extend_from_slice(chunk.bytes.get(..room).unwrap_or(&chunk.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str]) -> HealthConfig {
        HealthConfig {
            test: Some(test.iter().map(|word| (*word).to_owned()).collect()),
            ..HealthConfig::default()
        }
    }

    fn check() -> Check {
        let config = HealthConfig {
            start_period: Some(10_000_000_000),
            retries: Some(2),
            ..config(&["CMD", "true"])
        };
        Check::of(Some(&config), None).unwrap()
    }

    fn result(code: i64) -> HealthcheckResult {
        HealthcheckResult {
            exit_code: Some(code),
            ..HealthcheckResult::default()
        }
    }

    #[test]
    fn a_command_of_one_text_runs_in_the_images_shell() {
        let of =
            |shell: Option<&[String]>| Check::of(Some(&config(&["CMD-SHELL", "curl -f x"])), shell).unwrap();
        assert_eq!(of(None).command, ["/bin/sh", "-c", "curl -f x"]);
        let bash = ["/bin/bash".to_owned(), "-ec".to_owned()];
        assert_eq!(of(Some(&bash)).command, ["/bin/bash", "-ec", "curl -f x"]);
        assert_eq!(Check::of(Some(&config(&["NONE"])), None), None);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_and_so_many_later_ones_do() {
        let (check, mut health) = (check(), starting());
        assert_eq!(note(&mut health, &check, Duration::from_secs(1), result(1)), None);
        assert_eq!(health.failing_streak, Some(0));
        let late = Duration::from_secs(11);
        assert_eq!(note(&mut health, &check, late, result(1)), None);
        assert_eq!(
            note(&mut health, &check, late, result(1)),
            Some(HealthStatusEnum::UNHEALTHY)
        );
        assert_eq!(
            note(&mut health, &check, late, result(0)),
            Some(HealthStatusEnum::HEALTHY)
        );
        assert_eq!(health.failing_streak, Some(0));
    }

    #[test]
    fn the_last_five_results_are_kept() {
        let (check, mut health) = (check(), starting());
        for code in 0..9 {
            note(&mut health, &check, Duration::ZERO, result(code));
        }
        let codes: Vec<_> = health
            .log
            .unwrap()
            .iter()
            .map(|result| result.exit_code.unwrap())
            .collect();
        assert_eq!(codes, [4, 5, 6, 7, 8]);
    }

    #[test]
    fn checks_are_frequent_in_the_start_period() {
        let check = check();
        let young = Duration::from_secs(1);
        assert_eq!(check.wait(HealthStatusEnum::STARTING, young), START_INTERVAL);
        assert_eq!(check.wait(HealthStatusEnum::HEALTHY, young), INTERVAL);
        assert_eq!(
            check.wait(HealthStatusEnum::STARTING, Duration::from_secs(11)),
            INTERVAL
        );
    }

    #[test]
    fn a_request_fills_in_what_it_does_not_say_from_the_image() {
        let asked = HealthConfig {
            interval: Some(5),
            ..HealthConfig::default()
        };
        let image = HealthConfig {
            retries: Some(7),
            interval: Some(9),
            ..config(&["CMD", "x"])
        };
        let merged = merged(Some(asked), Some(image)).unwrap();
        assert_eq!(
            (merged.interval, merged.retries, merged.test.unwrap().len()),
            (Some(5), Some(7), 2)
        );
    }

    #[test]
    fn odd_configurations_are_refused_in_dockers_words() {
        let short = HealthConfig {
            interval: Some(5),
            ..config(&["CMD", "x"])
        };
        assert_eq!(
            validate(Some(&short)).unwrap_err().to_string(),
            "Interval in Healthcheck cannot be less than 1ms"
        );
        assert!(validate(Some(&config(&["RUN", "x"]))).is_err());
    }
}
