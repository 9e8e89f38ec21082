//! One process that the shim started: the container's first one, or an exec.

use std::os::fd::{AsFd, OwnedFd};

use protocol::{ExitStatus, Failure, FailureKind};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::link::Link;
use crate::boot::clock;
use crate::container::spawn::Spawned;
use crate::failure::failure;
use crate::sys::process::Cloned;

/// The longest verdict that is read, in bytes.
const MAX_VERDICT: usize = 64 << 10;

/// A process with its streams.
#[derive(Debug)]
pub(super) struct Job {
    /// The exec's name; `None` for the container's first process.
    pub(super) exec: Option<String>,
    /// The request to answer when the program was executed or not.
    pub(super) request: u64,
    pub(super) child: Cloned,
    /// See [`crate::container::spawn`]; `None` once it was read to its end.
    verdict: Option<OwnedFd>,
    verdict_text: Vec<u8>,
    pub(super) links: Vec<Link>,
    /// How it ended.
    pub(super) status: Option<ExitStatus>,
    /// Whether that was told to the host.
    pub(super) reported: bool,
}

/// What a child said about its way to the program.
pub(super) enum Verdict {
    Pending,
    Executed,
    Failed(Failure),
}

impl Job {
    /// A job that was just made.
    pub(super) fn new(exec: Option<String>, request: u64, spawned: Spawned, links: Vec<Link>) -> Self {
        Self {
            exec,
            request,
            child: spawned.child,
            verdict: Some(spawned.verdict),
            verdict_text: Vec::new(),
            links,
            status: None,
            reported: false,
        }
    }

    /// The pipe of the verdict, while it is open.
    pub(super) fn verdict(&self) -> Option<&OwnedFd> {
        self.verdict.as_ref()
    }

    /// Whether the process is alive, as far as is known.
    pub(super) fn is_running(&self) -> bool {
        self.status.is_none()
    }

    /// Reads the verdict as far as it is there. Gives `Executed` or `Failed` once.
    pub(super) fn read_verdict(&mut self) -> Verdict {
        let Some(pipe) = &self.verdict else {
            return Verdict::Pending;
        };
        loop {
            let mut bytes = [0; 4096];
            match retry_on_intr(|| read(pipe, &mut bytes)) {
                Ok(0) => break,
                Ok(count) if self.verdict_text.len() < MAX_VERDICT => {
                    self.verdict_text
                        .extend_from_slice(bytes.get(..count).unwrap_or_default());
                }
                Ok(_) => {}
                Err(Errno::AGAIN) => return Verdict::Pending,
                Err(_) => break,
            }
        }
        self.verdict = None;
        if self.verdict_text.is_empty() {
            return Verdict::Executed;
        }
        Verdict::Failed(serde_json::from_slice(&self.verdict_text).unwrap_or_else(|_| {
            failure(
                FailureKind::Internal,
                "the process ended before its program was executed",
            )
        }))
    }

    /// Takes the exit status of the ended process.
    pub(super) fn reap(&mut self) {
        let code = match waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => code,
                (None, Some(signal)) => 128i32.saturating_add(signal),
                (None, None) => 255,
            },
            _ => 255,
        };
        self.status = Some(ExitStatus {
            code,
            oom_killed: false,
            unix_time_ns: clock::now(),
        });
        for link in &mut self.links {
            link.end_of_process();
        }
    }

    /// Whether the process ended and all its output is with the host.
    pub(super) fn is_delivered(&self) -> bool {
        self.status.is_some() && self.links.iter().all(Link::is_delivered)
    }
}
