//! The messages of the control connection.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Architecture, Attachment, ContainerSpec, Diagnosis, FileJob, Limits, PathStat, Process, ProcessInfo,
    Sizes, Usage, View, WindowSize,
};

/// Everything that the guest sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromGuest {
    /// The first message, once.
    Hello(Hello),
    /// The answer to the [`FromHost::Request`] with this `id`.
    Reply { id: u64, result: Result<Reply, Failure> },
    /// Something happened that nobody asked for.
    Event(Event),
}

/// Everything that the host sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromHost {
    /// The answer to [`FromGuest::Hello`], once.
    Welcome(Welcome),
    /// A request; its `id` is chosen by the host and not used again on this connection.
    Request { id: u64, request: Request },
}

/// Opens the control connection: the guest has its mounts, devices and cgroups ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The newest protocol version that the guest speaks.
    pub version: u32,
    /// The oldest protocol version that the guest speaks.
    pub oldest_version: u32,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel_release: String,
    /// The guest's own architecture.
    pub architecture: Architecture,
    /// CPUs that are online.
    pub cpus: u32,
    /// Memory that the guest's kernel manages, in bytes.
    pub memory_bytes: u64,
    /// CLOCK_BOOTTIME when this message was made, in nanoseconds since the kernel started to count.
    pub boot_ns: u64,
    /// What could not be set up, in words for the user. The machine then runs no containers.
    pub problem: Option<String>,
    /// IDs of the containers that have something on the data disk, at most 8192. The host has those removed
    /// that it does not know (any more).
    #[serde(default)]
    pub containers: Vec<String>,
    /// Names of the volumes on the data disk, at most 8192, for the same purpose.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// Accepts a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u32,
    /// The host's wall clock, in nanoseconds since the Unix epoch. The guest sets its own to it.
    pub unix_time_ns: u64,
    /// 64 hexadecimal digits of randomness for the guest's entropy pool.
    pub entropy: String,
}

/// What the host asks of the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Starts a container: layers, overlay root, namespaces, cgroup, process. Its upper directory from an
    /// earlier run is used again. Answered by [`Reply::Started`] once the program was executed.
    Start(Box<ContainerSpec>),
    /// Starts one more process in a running container, under an `exec` name of the host's choice that is
    /// unique in that container. Answered by [`Reply::Started`].
    Exec {
        container: String,
        exec: String,
        process: Box<Process>,
    },
    /// Sends a signal to the container's first process, or to that of an exec.
    Signal {
        container: String,
        exec: Option<String>,
        signal: i32,
    },
    /// Changes the window size of the container's terminal, or of an exec's.
    Resize {
        container: String,
        exec: Option<String>,
        size: WindowSize,
    },
    /// Freezes or thaws every process of the container (cgroup v2 freezer). Done once the kernel says so.
    Pause { container: String, paused: bool },
    /// Deletes what a container that does not run has on the data disk. Unknown containers are no error.
    Remove { container: String },
    /// Deletes a volume that no running container uses. Unknown volumes are no error.
    RemoveVolume { volume: String },
    /// Replaces the names of a network, or those that one container alone knows. A name may stand for several
    /// addresses.
    SetNames {
        table: String,
        names: Vec<(String, Vec<IpAddr>)>,
    },
    /// Puts a running container on a network. `tables` are those of its resolver from now on, which is made if it has
    /// none yet; then `resolv_conf` is its /etc/resolv.conf, unless somebody has changed that.
    Connect {
        container: String,
        attachment: Box<Attachment>,
        tables: Option<Vec<String>>,
        #[serde(default)]
        resolv_conf: Option<String>,
    },
    /// Takes a running container off a network, by the guest's end of its interface.
    Disconnect {
        container: String,
        host_interface: String,
        tables: Option<Vec<String>>,
    },
    /// Takes the bridge and the names of a network away that no running container is on.
    RemoveNetwork { network: String, bridge: String },
    /// The processes of a running container. Answered by [`Reply::Processes`].
    Top { container: String },
    /// What a running container uses now, and the interfaces of these names in the guest. Answered by
    /// [`Reply::Usage`].
    Usage {
        container: String,
        host_interfaces: Vec<String>,
    },
    /// How much containers hold in their writable layers, whether they run or not, and volumes; at most
    /// [`crate::MOST_SIZES`] of each. What is not on the data disk holds nothing. Answered by [`Reply::Sizes`].
    Sizes {
        containers: Vec<String>,
        volumes: Vec<String>,
    },
    /// Changes the limits of a running container: those that are given.
    Update { container: String, limits: Box<Limits> },
    /// Works on the files of a container. One that does not run is given as what it is made of.
    Files {
        container: String,
        view: Option<Box<View>>,
        job: FileJob,
    },
    /// How the guest is. Answered by [`Reply::Diagnosis`].
    Diagnose,
    /// What the host's wall clock says, in nanoseconds since the Unix epoch: the guest's goes that way.
    SetClock { unix_time_ns: u64 },
    /// Unmounts image layers that no container uses any more, named by diff ID, so that the host can take
    /// their extents away. Answered by [`Reply::Released`].
    ReleaseLayers { diff_ids: Vec<String> },
    /// Stops every container (SIGKILL), writes the data disk out, unmounts it and powers off. [`Reply::Done`]
    /// is sent just before the power-off.
    Shutdown,
}

/// What the guest answers when it did as asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Nothing more to say.
    Done,
    /// The process runs. `pid` is its number in the guest's own PID namespace; `parts` is what was done for a
    /// container's first one, in its order.
    Started {
        pid: u32,
        #[serde(default)]
        parts: Vec<StartedPart>,
    },
    /// These of the asked layers are not mounted any more; the others are in use.
    Released {
        diff_ids: Vec<String>,
    },
    Processes {
        processes: Vec<ProcessInfo>,
    },
    Usage(Box<Usage>),
    Sizes(Sizes),
    Path(PathStat),
    Diagnosis(Box<Diagnosis>),
}

/// A part of a container's start and the time that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedPart {
    pub part: StartPart,
    /// Nanoseconds.
    pub took_ns: u64,
}

/// What the guest does to start a container, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartPart {
    /// The image layers are mounted.
    Layers,
    /// The byte streams are connected.
    Streams,
    /// The overlay root is mounted.
    Root,
    /// The cgroup with its limits and device rules.
    Cgroup,
    /// The namespaces that are prepared or shared: network with its interfaces, names, IPC.
    Surroundings,
    /// The process in its own namespaces: mounts, privileges, seccomp, and the program's execution.
    Program,
    /// A part of a newer guest.
    #[serde(other)]
    Other,
}

/// Why the guest did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// One sentence for the user, in Docker's words where Docker has them. For a program that could not be
    /// executed it reads as runc's: `exec: "ls": executable file not found in $PATH`.
    pub message: String,
}

/// The classes of failure that the host treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The program does not exist in the container (exit code 127).
    ProgramNotFound,
    /// The program exists and cannot be executed (exit code 126).
    ProgramNotExecutable,
    /// The user or group does not exist in the container.
    UnknownUser,
    /// The container or exec is not running here.
    NotRunning,
    /// A container or exec of this name runs already.
    AlreadyRunning,
    /// The request contradicts itself or asks for what the kernel refuses.
    Invalid,
    /// Memory, disk space, PIDs or another limit of the machine ran out.
    Exhausted,
    /// Anything else: a kernel or data-disk error.
    Internal,
}

/// What happens in the guest on its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A container's first process (`exec` is `None`) or an exec's process ended, and every byte of its output
    /// was handed to its streams. After a container's exit its mounts and cgroup are gone.
    Exited {
        container: String,
        exec: Option<String>,
        status: ExitStatus,
    },
    /// The kernel killed a process of the container for lack of memory.
    OutOfMemory { container: String },
    /// A line for the host's log.
    Log { level: String, message: String },
    /// PID 1 panicked; the machine stops next.
    Panic { message: String },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// As a shell tells it: the exit code, or 128 and the number of the signal.
    pub code: i32,
    /// Whether the container's memory limit killed a process of it in this run.
    pub oom_killed: bool,
    /// The guest's wall clock at the end of the process, in nanoseconds since the Unix epoch.
    pub unix_time_ns: u64,
}
