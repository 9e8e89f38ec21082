//! What a container's processes are and use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A process (proc_pid_stat(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Numbers of the guest's own PID namespace.
    pub pid: u32,
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    pub uid: u32,
    pub gid: u32,
    pub state: char,
    /// Such as `pts/0`; empty without a terminal.
    pub terminal: String,
    pub nice: i64,
    pub threads: u64,
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Nanoseconds since the Unix epoch.
    pub start_ns: i64,
    pub virtual_bytes: u64,
    pub resident_bytes: u64,
    pub name: String,
    /// The command line; empty for one that has none.
    pub arguments: Vec<String>,
}

/// The counters of a container's cgroup (Documentation/admin-guide/cgroup-v2.rst) and interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// `cpu.stat`.
    pub cpu: BTreeMap<String, u64>,
    /// CPU time of the whole machine since its boot, in nanoseconds.
    pub machine_cpu_ns: u64,
    pub online_cpus: u32,
    /// `memory.current`, in bytes.
    pub memory_bytes: u64,
    /// `memory.max`, in bytes; the machine's memory where there is no limit.
    pub memory_limit_bytes: u64,
    /// `memory.stat`.
    pub memory: BTreeMap<String, u64>,
    /// `memory.events` `max`: how often the limit was reached.
    pub memory_limit_hits: u64,
    /// `pids.current`.
    pub pids: u64,
    /// `pids.max`; `None` is no limit.
    pub pids_limit: Option<u64>,
    /// `io.stat`.
    pub disks: Vec<BlockUsage>,
    /// In the order in which they were asked for; those that are not there are left out.
    pub interfaces: Vec<(String, InterfaceUsage)>,
}

/// The most containers and volumes, each, that one [`crate::Request::Sizes`] may name; its answer fits a frame.
pub const MOST_SIZES: usize = 4096;

/// What containers and volumes hold on the data disk: bytes in their files, in the order in which they were asked for.
/// `None` could not be counted within the guest's bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    pub containers: Vec<Option<u64>>,
    pub volumes: Vec<Option<u64>>,
}

/// A line of `io.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockUsage {
    pub major: u32,
    pub minor: u32,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub reads: u64,
    pub writes: u64,
}

/// What went through an interface, as the container sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceUsage {
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
}
