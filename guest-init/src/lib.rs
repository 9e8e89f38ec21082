//! The guest's user space: one static binary with three roles.
//!
//! - **PID 1** ([`boot`], [`agent`]): mounts, dials the host over vsock, answers its requests, reaps.
//! - **A shim for each container** ([`shim`]): a single-threaded fork of PID 1 that builds the container
//!   ([`container`]), carries its streams and waits for its processes. What a container makes the guest do
//!   happens here, so the worst that a bug or a flood can take down is that one container.
//! - **`docker-init`** ([`reaper`]): PID 1 of a container that was started with `--init`.
//!
//! Nothing polls: PID 1 and each shim sleep in one `epoll_wait` with no time-out.

mod agent;
mod boot;
mod channel;
mod container;
mod device_mapper;
mod failure;
mod files;
mod layers;
mod network;
mod power;
mod reaper;
mod shim;
mod sizes;
mod sys;
mod trash;

use std::ffi::CString;

/// Runs the role that the arguments and the process number ask for; returns the exit code.
pub fn main(arguments: &[CString]) -> i32 {
    let name = arguments.first().map_or(&b""[..], |name| name.as_bytes());
    if name.ends_with(b"/docker-init") {
        return reaper::run(arguments.get(1..).unwrap_or_default());
    }
    if rustix::process::getpid() == rustix::process::Pid::INIT {
        agent::run();
    }
    eprintln!("this is the first process of a sampan guest; it does nothing elsewhere");
    2
}
