//! What a container is to the guest: resolved, with no defaults left to guess. The host turns Docker's
//! configuration into this; the guest turns this into system calls.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Token;

/// A container to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// 64 hexadecimal digits.
    pub id: String,
    pub hostname: String,
    pub domainname: String,
    /// The image's layers, lowest first.
    pub layers: Vec<LayerExtent>,
    /// Whether the root file system is mounted read-only.
    pub read_only_root: bool,
    /// The first process.
    pub process: Process,
    /// Runs a small init as PID 1 of the container that forwards signals and reaps (`--init`).
    pub init: bool,
    /// Mounts beyond the standard /proc, /sys, /sys/fs/cgroup, /dev, /dev/pts, /dev/shm and /dev/mqueue.
    pub mounts: Vec<Mount>,
    /// Files that are written into the container's own /etc (hostname, hosts, resolv.conf) by name under
    /// `/etc`, bind-mounted so that they are not part of the writable layer.
    pub etc_files: Vec<(String, String)>,
    /// Size of /dev/shm in bytes.
    pub shm_bytes: u64,
    /// Device nodes beyond the standard null, zero, full, random, urandom, tty, console and ptmx.
    pub devices: Vec<Device>,
    /// Devices that may be used, and made, beyond those that have nodes.
    #[serde(default)]
    pub device_rules: Vec<DeviceRule>,
    /// Whether every device of the machine is there and can be used, and /sys can be written.
    #[serde(default)]
    pub privileged: bool,
    /// Paths hidden under an empty read-only file or directory.
    pub masked_paths: Vec<String>,
    /// Paths made read-only.
    pub readonly_paths: Vec<String>,
    /// Kernel parameters in /proc/sys to write inside the container's namespaces.
    pub sysctls: Vec<(String, String)>,
    pub limits: Limits,
    #[serde(default)]
    pub network: Network,
    /// The PID namespace.
    #[serde(default)]
    pub pid: Namespace,
    /// The IPC namespace; another container's comes with its /dev/shm.
    #[serde(default)]
    pub ipc: Namespace,
    /// The UTS namespace.
    #[serde(default)]
    pub uts: Namespace,
    /// The cgroup namespace: its own or the machine's.
    #[serde(default)]
    pub cgroup: Namespace,
}

/// Whose namespace of one kind a container lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// Its own.
    #[default]
    Own,
    /// The machine's.
    Machine,
    /// That of a running container, by its ID.
    Container(String),
}

/// A container's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A namespace of its own, with an interface for each network that it is on.
    Own {
        attachments: Vec<Attachment>,
        /// The tables in which its resolver looks names up, in order: IDs of networks and the container's own.
        /// `None` is no resolver.
        tables: Option<Vec<String>>,
    },
    /// The machine's.
    Machine,
    /// That of a running container, by its ID.
    Container(String),
}

impl Default for Network {
    fn default() -> Self {
        Self::Own {
            attachments: Vec::new(),
            tables: None,
        }
    }
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's ID, 64 hexadecimal digits.
    pub network: String,
    pub bridge: Bridge,
    /// The interface in the container, such as `eth0`; at most 15 characters.
    pub interface: String,
    /// Its other end in the guest; at most 15 characters, and used once.
    pub host_interface: String,
    pub mac: [u8; 6],
    /// Addresses with the lengths of their networks' prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default routes; at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Of several default routes that of the lowest number counts.
    pub priority: u32,
    /// What the container may send on this network, and as much again receive, in bytes each second.
    #[serde(default)]
    pub rate: Option<u32>,
}

/// The bridge of a network in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// At most 15 characters.
    pub name: String,
    /// The gateways' addresses with the lengths of their networks' prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// In bytes.
    pub mtu: u32,
}

/// One image layer on the layer disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerExtent {
    /// `sha256:…` of the uncompressed layer tar (image-spec, "Layer DiffID").
    pub diff_id: String,
    /// Where the layer's EROFS image begins on the layer disk, in bytes, a multiple of 4096.
    pub offset: u64,
    /// The length of the EROFS image, in bytes, a multiple of 4096.
    pub length: u64,
}

/// A process to execute in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments; never empty.
    pub arguments: Vec<String>,
    /// `NAME=value`. The guest adds HOME of the user when it is not there.
    pub environment: Vec<String>,
    pub working_directory: String,
    /// As `--user` takes it: empty, `name`, `uid`, `name:group` or `uid:gid`; names are looked up in the
    /// container's own /etc/passwd and /etc/group.
    pub user: String,
    /// Supplementary groups by name or number (`--group-add`).
    pub additional_groups: Vec<String>,
    /// Capability names without `CAP_`, in upper case: bounding, permitted, effective (for root) and
    /// inheritable stay empty as in Docker ≥ 20.10.14.
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub rlimits: Vec<Rlimit>,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
    /// The compiled seccomp filters, installed in this order; empty for unconfined.
    pub seccomp: Vec<SeccompProgram>,
    pub stdio: Stdio,
}

/// A classic BPF program for `seccomp(SECCOMP_SET_MODE_FILTER)`: each instruction as (code, jt, jf, k).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompProgram(pub Vec<(u16, u8, u8, u32)>);

/// Where a process's standard streams go. A missing stream is /dev/null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdio {
    /// A pseudo-terminal; one duplex stream carries both directions.
    Terminal { stream: Token, size: WindowSize },
    /// Pipes. Each token opens a connection of its own.
    Pipes {
        stdin: Option<Token>,
        stdout: Option<Token>,
        stderr: Option<Token>,
    },
}

/// A terminal's size in characters. Zero means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// A mount in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// A tmpfs with mount(8) options such as `size=64m`, `mode=1777`, `noexec`; nosuid, nodev and noexec are
    /// the default as in Docker.
    Tmpfs { target: String, options: Vec<String> },
    /// A volume of the data disk, made if it is not there.
    Volume {
        /// Of letters, digits, `_`, `.` and `-`; it becomes a directory's name.
        name: String,
        target: String,
        read_only: bool,
        /// Whether an empty volume first gets what the image has at `target`.
        copy_up: bool,
        /// The directory inside the volume to mount instead of all of it; relative, and inside the volume.
        subpath: Option<String>,
    },
}

impl Mount {
    /// Where it appears in the container.
    pub fn target(&self) -> &str {
        match self {
            Self::Tmpfs { target, .. } | Self::Volume { target, .. } => target,
        }
    }
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// In the guest's own /dev.
    pub source: String,
    /// In the container.
    pub target: String,
    /// Some of `rwm`.
    pub access: String,
}

/// Devices by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    pub kind: DeviceKind,
    /// `None` is every number.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Some of `rwm`.
    pub access: String,
}

/// The kinds of device that a [`DeviceRule`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    Block,
    Character,
    Both,
}

/// A resource limit by its name without `RLIMIT_`, in lower case (`nofile`); `None` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    pub name: String,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// What cgroup v2 holds the container to. `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// memory.max in bytes.
    pub memory_bytes: Option<u64>,
    /// memory.swap.max in bytes: Docker's memory-swap less its memory.
    pub swap_bytes: Option<u64>,
    /// memory.low in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// cpu.max: microseconds of CPU time in each period of microseconds.
    pub cpu_quota: Option<(u64, u64)>,
    /// cpu.weight, 1 to 10000.
    pub cpu_weight: Option<u64>,
    /// cpuset.cpus, such as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// cpuset.mems.
    pub cpuset_mems: Option<String>,
    /// pids.max.
    pub pids: Option<u64>,
    /// io.weight, 1 to 10000.
    pub io_weight: Option<u64>,
    /// io.max lines.
    pub io: Vec<DeviceLimit>,
}

/// A limit on one block device. Every file of a container lies on the data disk or the layer disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// In the guest's own /dev.
    pub path: String,
    pub read_bytes_per_second: Option<u64>,
    pub write_bytes_per_second: Option<u64>,
    pub read_operations_per_second: Option<u64>,
    pub write_operations_per_second: Option<u64>,
}
