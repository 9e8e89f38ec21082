//! What the engine remembers of containers and volumes, as it lies in the database.

use std::collections::{BTreeMap, HashMap};

use bollard_stubs::models::{ContainerConfig, HealthStatusEnum, HostConfig};
use protocol::Architecture;
use serde::{Deserialize, Serialize};

use crate::network::Endpoint;
use crate::state::{Stored, Table};
use crate::time;

/// A container's record. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Without Docker's leading slash.
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) architecture: Architecture,
    /// `sha256:…`.
    pub(crate) image_id: String,
    /// The program and its arguments, resolved from image and request.
    pub(crate) path: String,
    pub(crate) args: Vec<String>,
    /// Resolved from image and request.
    pub(crate) config: ContainerConfig,
    pub(crate) host_config: HostConfig,
    pub(crate) state: RunState,
    /// Whether the guest may have something of it on the data disk.
    #[serde(default)]
    pub(crate) ran: bool,
    /// Restarts by its policy since the user started it.
    #[serde(default)]
    pub(crate) restart_count: i64,
    /// Its place on networks, by the names that the user gave these.
    #[serde(default)]
    pub(crate) networks: BTreeMap<String, Endpoint>,
    /// The volumes that it mounts.
    #[serde(default)]
    pub(crate) volumes: Vec<VolumeMount>,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeMount {
    pub(crate) name: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    /// Whether an empty volume gets what the image has at `target`.
    pub(crate) copy_up: bool,
    pub(crate) subpath: Option<String>,
    /// The options of `-v` as they were given.
    pub(crate) mode: String,
}

/// A volume of the local driver: a directory on a machine's data disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    pub(crate) name: String,
    /// 64 hexadecimal digits: its directory on the data disk. Never used again, so that a new volume of an old name
    /// finds nothing in it.
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) labels: HashMap<String, String>,
    /// Whether nobody named it: it goes with the container that it was made for.
    pub(crate) anonymous: bool,
    /// The machine that it lies in, once a container of that architecture has mounted it.
    pub(crate) architecture: Option<Architecture>,
}

impl Stored for Record {
    const TABLE: Table = Table::new("containers");
    const WHAT: &'static str = "container";

    fn key(&self) -> &str {
        &self.id
    }
}

impl Stored for VolumeRecord {
    const TABLE: Table = Table::new("volumes");
    const WHAT: &'static str = "volume";

    fn key(&self) -> &str {
        &self.name
    }
}

/// Docker's `State`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunState {
    pub(crate) phase: Phase,
    pub(crate) exit_code: i64,
    /// Why the last start failed, or what ended the last run beside the program itself.
    pub(crate) error: String,
    pub(crate) oom_killed: bool,
    /// The first process in the guest's PID namespace; 0 when it does not run.
    pub(crate) pid: u32,
    pub(crate) started: Option<i64>,
    pub(crate) finished: Option<i64>,
    /// Whether the user ended the last run.
    #[serde(default)]
    pub(crate) stopped_by_user: bool,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    #[default]
    Created,
    Running,
    Paused,
    /// Ended, and about to be started again by its policy.
    Restarting,
    Exited,
    /// Its removal failed half-way; only removing it again is possible.
    Dead,
}

impl Phase {
    /// Docker's word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether the container has processes: paused ones count.
    pub(crate) const fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Docker's `Running`: whether the container runs or is about to be started again.
    pub(crate) const fn is_active(self) -> bool {
        self.is_running() || matches!(self, Self::Restarting)
    }
}

impl RunState {
    /// The STATUS column of `docker ps` (moby `container/state.go`).
    pub(crate) fn status(&self, health: HealthStatusEnum, now: i64) -> String {
        let since = |time: Option<i64>| time::human_duration(now.saturating_sub(time.unwrap_or(now)));
        match self.phase {
            Phase::Running => match health {
                HealthStatusEnum::STARTING => format!("Up {} (health: starting)", since(self.started)),
                HealthStatusEnum::HEALTHY | HealthStatusEnum::UNHEALTHY => {
                    format!("Up {} ({health})", since(self.started))
                }
                _ => format!("Up {}", since(self.started)),
            },
            Phase::Restarting => format!("Restarting ({}) {} ago", self.exit_code, since(self.finished)),
            Phase::Paused => format!("Up {} (Paused)", since(self.started)),
            Phase::Dead => "Dead".to_owned(),
            Phase::Created => "Created".to_owned(),
            Phase::Exited => format!("Exited ({}) {} ago", self.exit_code, since(self.finished)),
        }
    }

    /// What is true of a container that was recorded as running when nothing runs any more.
    pub(crate) fn lost(&mut self, now: i64, why: &str) {
        if self.phase == Phase::Restarting {
            self.phase = Phase::Exited;
        } else if self.phase.is_running() {
            self.phase = Phase::Exited;
            self.exit_code = KILLED;
            self.error = why.to_owned();
            self.finished = Some(now);
            self.pid = 0;
        }
    }
}

/// The exit code of a process that SIGKILL ended.
pub(crate) const KILLED: i64 = 137;

impl Record {
    /// Whether the container goes away by itself after its run (`--rm`).
    pub(crate) fn auto_remove(&self) -> bool {
        self.host_config.auto_remove.unwrap_or(false)
    }

    pub(crate) fn tty(&self) -> bool {
        self.config.tty.unwrap_or(false)
    }

    /// The name of the image as the user wrote it.
    pub(crate) fn image_name(&self) -> &str {
        self.config.image.as_deref().unwrap_or(&self.image_id)
    }

    /// The COMMAND column of `docker ps`: arguments with a space in them are quoted.
    pub(crate) fn command(&self) -> String {
        let mut command = self.path.clone();
        for argument in &self.args {
            command.push(' ');
            if argument.contains(' ') {
                command.push('\'');
                command.push_str(argument);
                command.push('\'');
            } else {
                command.push_str(argument);
            }
        }
        command
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    pub(crate) fn record(id: &str) -> Record {
        Record {
            id: id.to_owned(),
            name: format!("name_{id}"),
            created: 0,
            architecture: Architecture::Amd64,
            image_id: "sha256:00".to_owned(),
            path: "sh".to_owned(),
            args: vec!["-c".to_owned(), "echo hi".to_owned()],
            config: ContainerConfig::default(),
            host_config: HostConfig::default(),
            state: RunState::default(),
            ran: false,
            restart_count: 0,
            networks: BTreeMap::new(),
            volumes: Vec::new(),
        }
    }

    const SECOND: i64 = 1_000_000_000;

    #[rstest]
    #[case(Phase::Created, "Created")]
    #[case(Phase::Running, "Up 3 seconds")]
    #[case(Phase::Paused, "Up 3 seconds (Paused)")]
    #[case(Phase::Restarting, "Restarting (137) 2 seconds ago")]
    #[case(Phase::Exited, "Exited (137) 2 seconds ago")]
    #[case(Phase::Dead, "Dead")]
    fn each_phase_has_dockers_status(#[case] phase: Phase, #[case] status: &str) {
        let state = RunState {
            phase,
            exit_code: 137,
            started: Some(7 * SECOND),
            finished: Some(8 * SECOND),
            ..RunState::default()
        };
        assert_eq!(state.status(HealthStatusEnum::NONE, 10 * SECOND), status);
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_time() {
        let state = RunState {
            phase: Phase::Running,
            started: Some(9 * SECOND),
            ..RunState::default()
        };
        assert_eq!(
            state.status(HealthStatusEnum::NONE, SECOND),
            "Up Less than a second"
        );
        assert_eq!(
            state.status(HealthStatusEnum::HEALTHY, SECOND),
            "Up Less than a second (healthy)"
        );
    }

    #[test]
    fn a_command_is_told_with_its_spaced_arguments_in_quotes() {
        assert_eq!(record("a").command(), "sh -c 'echo hi'");
    }

    #[test]
    fn what_ran_when_everything_stopped_was_killed() {
        let mut state = RunState {
            phase: Phase::Paused,
            pid: 7,
            ..RunState::default()
        };
        state.lost(5, "gone");
        assert_eq!(
            (state.phase, state.exit_code, state.pid),
            (Phase::Exited, KILLED, 0)
        );
        let mut exited = RunState {
            phase: Phase::Exited,
            ..RunState::default()
        };
        exited.lost(5, "gone");
        assert_eq!(exited.exit_code, 0);
    }
}
