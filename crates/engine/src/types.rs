//! Arguments and answers of the engine that Docker's API types do not cover.

use protocol::Architecture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use vmm::control::{Accelerator, Inspection};

use crate::stream::Chunk;

/// What `wait` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// The container does not run; answered at once if it does not now.
    #[default]
    NotRunning,
    /// The next exit, even if the container does not run now.
    NextExit,
    /// The container is removed and its name can be used again.
    Removed,
}

/// What a client attaches to.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Whether to follow what happens from now on.
    pub stream: bool,
    /// Whether to begin with what was logged before.
    pub logs: bool,
    pub detach_keys: Option<String>,
}

/// Which part of a container's log to read.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    pub follow: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Nanoseconds since the Unix epoch; nothing before it.
    pub since: Option<i64>,
    /// Nanoseconds since the Unix epoch; nothing after it.
    pub until: Option<i64>,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// Whether each line begins with its entry's attributes, behind the time.
    pub details: bool,
    /// The last so many lines; `None` is all.
    pub tail: Option<usize>,
}

/// A container's log as it is read.
#[derive(Debug)]
pub struct Logs {
    /// Whether the container has a terminal: the log is then raw and on stdout only.
    pub tty: bool,
    /// One chunk for each logged line. Closes at the end; dropping it stops the reading.
    pub output: mpsc::Receiver<Chunk>,
}

/// An initial terminal size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    pub rows: u16,
    pub columns: u16,
}

/// Whether a machine executes containers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    Stopped,
    Running,
}

/// What `sampan machine inspect` tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineReport {
    pub architecture: Architecture,
    pub state: MachineState,
    /// Whether commands without `--platform` go to this machine.
    pub default: bool,
    /// How the guest's instructions are executed, where that was found out or asked for.
    pub accelerator: Option<Accelerator>,
    /// Why this accelerator: what was asked for, what the probe measured.
    pub why: String,
    pub cpus: u32,
    pub memory_mib: u32,
    pub directory: String,
    pub kernel: String,
    pub initramfs: String,
    pub kernel_release: Option<String>,
    /// Process ID of the VMM.
    pub pid: Option<u32>,
    /// From the kernel's first instruction until the guest's agent answered, in milliseconds.
    pub boot_ms: Option<u64>,
    /// From the start of the VMM's process until the guest's agent answered, in milliseconds.
    pub start_ms: Option<u64>,
    /// Running containers.
    pub containers: u64,
    /// What the VMM says of itself.
    pub inspection: Option<Inspection>,
    /// Why the machine last stopped, if it stopped by itself.
    pub last_error: Option<String>,
}

/// What a running machine's guest says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineDiagnosis {
    pub architecture: Architecture,
    /// How far the guest's clock is ahead of the host's, in milliseconds.
    pub clock_off_by_ms: i64,
    /// The size of the file system on the data disk, in bytes.
    pub disk_bytes: u64,
    /// What containers can still write there, in bytes.
    pub disk_free: u64,
    /// The end of the kernel's log.
    pub kernel_log: String,
}

/// How bad a finding of `sampan doctor` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Ok,
    Warning,
    Error,
}

/// One thing that `sampan doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    pub subject: String,
    pub finding: String,
    /// What to do about it; empty where nothing is wrong.
    pub advice: String,
}

impl Finding {
    /// All is well.
    pub fn ok(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self {
            severity: Severity::Ok,
            subject: subject.into(),
            finding: finding.into(),
            advice: String::new(),
        }
    }

    /// Something is not well, or not as well as it could be.
    pub fn new(
        severity: Severity,
        subject: impl Into<String>,
        finding: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            subject: subject.into(),
            finding: finding.into(),
            advice: advice.into(),
        }
    }

    /// Containers run, and something is worse than it could be.
    pub fn warning(
        subject: impl Into<String>,
        finding: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, subject, finding, advice)
    }

    /// Containers cannot run, or some of them cannot.
    pub fn error(subject: impl Into<String>, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Severity::Error, subject, finding, advice)
    }
}
