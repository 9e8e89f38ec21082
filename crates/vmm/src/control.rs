//! What the service and a machine's process say to each other, as JSON lines.
//!
//! The service starts `sampan vmm` with pipes: on the process's stdin it sends one [`MachineConfig`] and then
//! [`Command`]s, on stdout it reads [`Event`]s. End of file on stdin means that the service is gone: the
//! process then stops its guest at once, so no machine outlives its service and no pid has to be hunted.

use std::path::PathBuf;

use protocol::Architecture;
use serde::{Deserialize, Serialize};

/// How the guest's instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// Linux's hypervisor.
    Kvm,
    /// Apple's Hypervisor.framework.
    Hvf,
    /// Windows Hypervisor Platform.
    Whp,
    /// QEMU's translator executes the CPU, our devices serve it over vhost-user.
    Tcg,
}

/// One machine to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// A name for logs.
    pub id: String,
    pub architecture: Architecture,
    pub accelerator: Accelerator,
    /// Virtual CPUs, 1 to 32.
    pub cpus: u32,
    /// Guest memory in MiB, 128 to 1048576.
    pub memory_mib: u32,
    /// Uncompressed kernel: `vmlinux` (ELF) on amd64, `Image` on arm64.
    pub kernel: PathBuf,
    /// Uncompressed initramfs.
    pub initramfs: PathBuf,
    /// Appended to the kernel's command line.
    pub command_line: String,
    /// The machine's own directory; the vsock sockets are made here (see the `vsock` module of `devices`).
    pub directory: PathBuf,
    /// The raw image of the data disk.
    pub data_disk: PathBuf,
    /// Makes the kernel talk on its console from the first line on. Without it the console carries errors and
    /// panics only.
    pub verbose_console: bool,
}

/// What the service asks of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Puts a layer's EROFS image on the layer disk. Answered by [`Event::LayerMapped`] or
    /// [`Event::LayerRefused`]. A path that is mapped already keeps its extent.
    MapLayer { path: PathBuf },
    /// Takes it away again; the guest has unmounted it. Not answered.
    UnmapLayer { path: PathBuf },
    /// Stops the guest without its consent. Answered by [`Event::Stopped`], which always is the last line.
    Stop,
    /// Answered by [`Event::Inspected`].
    Inspect,
}

/// What the process tells the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first instruction of the kernel is about to execute. `unix_time_ns` is the host's clock.
    Entered { unix_time_ns: u64 },
    /// The layer's extent on the layer disk, in bytes.
    LayerMapped { path: PathBuf, offset: u64, length: u64 },
    /// The layer's file could not be opened or does not fit.
    LayerRefused { path: PathBuf, message: String },
    /// The state of the machine.
    Inspected { inspection: Inspection },
    /// The host's disk has no room for what the guest writes, and the guest waits for it; or there is room again.
    HostDisk { full: bool },
    /// The machine is gone; the process exits next.
    Stopped { reason: StopReason },
}

/// What a machine's process knows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The device's names, such as `blk layers`.
    pub devices: Vec<String>,
    /// Exits or vhost-user kicks that were served, by kind.
    pub exits: Vec<(String, u64)>,
    /// Process IDs that belong to the machine beside this one (QEMU).
    pub helpers: Vec<u32>,
    /// The last lines of the console.
    pub console_tail: Vec<String>,
}

/// Why a machine stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The guest powered itself off.
    PoweredOff,
    /// The guest reset itself, as a kernel does after a panic, or the CPU gave up (triple fault).
    Reset { console_tail: Vec<String> },
    /// [`Command::Stop`], or the service went away.
    Asked,
    /// The host could not run it: no kernel, no permission on /dev/kvm, no QEMU, QEMU ended, …
    /// The message says what to do.
    Failed {
        message: String,
        console_tail: Vec<String>,
    },
}
