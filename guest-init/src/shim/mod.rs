//! The process beside each container: builds it, carries its streams, waits for its processes.
//!
//! PID 1 forks a shim with the container's spec in memory and one socket between them. Requests about the
//! container come over it as the host sent them, and answers and events go back as the host gets them. The
//! shim reports the container's exit when the last byte of output was delivered and cgroup and mounts are
//! gone, and ends. Its own death is a loss that PID 1 sees by the closed socket.

mod job;
mod link;
mod resolv_conf;
mod serve;
mod stopwatch;
mod streams;
mod surroundings;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use protocol::{ContainerSpec, FromGuest};

use crate::channel::Channel;
use crate::sys;

pub(crate) use stopwatch::Stopwatch;

/// What a shim is born with.
pub(crate) struct Launch<'a> {
    /// The first processes of the containers that run, by ID.
    pub(crate) neighbours: &'a BTreeMap<String, u32>,
    pub(crate) spec: &'a ContainerSpec,
    /// The request to answer once the container runs.
    pub(crate) request: u64,
    /// The layers' directories, lowest first.
    pub(crate) lower: &'a [String],
    /// The device rules of a container without devices of its own, loaded once by PID 1.
    pub(crate) device_rules: &'a OwnedFd,
    /// Runs since the request came.
    pub(crate) stopwatch: Stopwatch,
}

/// Runs a container from its start to its end. Called in the forked child of PID 1.
pub(crate) fn run(launch: Launch<'_>, socket: OwnedFd) -> ! {
    // What else PID 1 has open is not this process's business.
    if sys::fd::close_all_except(&[socket.as_fd(), launch.device_rules.as_fd()]).is_err() {
        sys::process::exit_now(1);
    }
    // When the machine runs out of memory, a program has to go and not the one that tells of it. The child sets
    // its own value, which also bounds what it may lower it to.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    let mut channel = Channel::new(socket);
    let request = launch.request;
    match serve::Shim::start(launch) {
        Ok(shim) => shim.serve(channel),
        Err(failure) => {
            let reply = FromGuest::Reply {
                id: request,
                result: Err(failure),
            };
            let _ = channel.send(&reply).and_then(|()| channel.flush_all());
        }
    }
    sys::process::exit_now(0)
}
