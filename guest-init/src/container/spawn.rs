//! Making a child that becomes a program: clone3 into the cgroup, and a pipe that tells how it went.
//!
//! The pipe closes on execve(2). Nothing in it means that the program runs; a [`Failure`] as JSON says why not.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::Failure;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, ioctl_tiocsctty, set_dumpable_behavior, setsid};

use crate::failure::{Context, Outcome};
use crate::sys::fd;
use crate::sys::process::{Cloned, clone_into, exit_now};

/// The standard streams of a child.
#[derive(Debug)]
pub(crate) enum ChildStreams {
    Terminal(OwnedFd),
    Pipes([OwnedFd; 3]),
}

impl ChildStreams {
    fn all(&self) -> [BorrowedFd<'_>; 3] {
        match self {
            Self::Terminal(terminal) => [terminal.as_fd(); 3],
            Self::Pipes(pipes) => pipes.each_ref().map(AsFd::as_fd),
        }
    }
}

/// A child on its way to its program.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: Cloned,
    /// Non-blocking; see the module.
    pub(crate) verdict: OwnedFd,
}

/// Clones a child into a cgroup and new namespaces (`CLONE_NEW…`). In it, of all descriptors only the streams
/// and `keep` are open when `work` runs; `work` returns only if it failed to become the program.
pub(crate) fn spawn(
    cgroup: BorrowedFd<'_>,
    namespaces: libc::c_int,
    streams: ChildStreams,
    keep: &[BorrowedFd<'_>],
    work: impl FnOnce() -> Outcome<Infallible>,
) -> Outcome<Spawned> {
    let (verdict, report) = pipe_with(PipeFlags::CLOEXEC).context(|| "pipe".to_owned())?;
    rustix::io::ioctl_fionbio(&verdict, true).context(|| "pipe".to_owned())?;
    let cloned = clone_into(cgroup, namespaces).context(|| "the process could not be made".to_owned())?;
    let Some(child) = cloned else {
        let failed = prepare(&streams, keep, &report).and_then(|()| work());
        let Err(failure) = failed;
        tell(&report, &failure);
        exit_now(1);
    };
    Ok(Spawned { child, verdict })
}

/// Cuts the child off from what it inherited.
fn prepare(streams: &ChildStreams, keep: &[BorrowedFd<'_>], report: &OwnedFd) -> Outcome<()> {
    // A process in the container could otherwise look into this one's memory and files until the program is
    // executed, which makes it dumpable again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())?;
    fd::become_standard_streams(streams.all()).context(|| "dup2".to_owned())?;
    let kept: Vec<BorrowedFd<'_>> = keep.iter().copied().chain([report.as_fd()]).collect();
    fd::close_all_except(&kept).context(|| "close_range".to_owned())?;
    setsid().context(|| "setsid".to_owned())?;
    if matches!(streams, ChildStreams::Terminal(_)) {
        let [stdin, ..] = fd::standard_streams();
        ioctl_tiocsctty(stdin).context(|| "the terminal could not be taken".to_owned())?;
    }
    Ok(())
}

/// Writes the failure into the pipe, which holds far more than that.
fn tell(report: &OwnedFd, failure: &Failure) {
    let text = serde_json::to_vec(failure).unwrap_or_default();
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(report, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
