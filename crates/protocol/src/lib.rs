//! What the host service and the guest's PID 1 say to each other over vsock.
//!
//! The guest dials; the host never has to guess when the guest is ready:
//!
//! - [`CONTROL_PORT`]: one connection for the life of the machine. The guest opens with [`Hello`], the host
//!   answers [`Welcome`], and from there on the host sends [`Request`]s and the guest [`Reply`]s and
//!   [`Event`]s, each a length-prefixed JSON [`frame`].
//! - [`STREAM_PORT`]: one connection for each byte stream (stdin, stdout, stderr or a terminal). It opens with
//!   the 32 raw bytes of the stream's one-time [`Token`]; all that follows is payload. End of stream is a
//!   half-close. Bulk data never passes through the control connection.
//!
//! An [`Event::Exited`] is sent only after the last byte of the process's output was handed to its streams.

mod architecture;
mod capability;
mod diagnosis;
mod files;
pub mod frame;
mod message;
mod spec;
mod token;
mod usage;

pub use architecture::{Architecture, UnknownArchitecture};
pub use capability::CAPABILITIES;
pub use diagnosis::{Diagnosis, LONGEST_KERNEL_LOG};
pub use files::{COMPLETE, FileJob, PathStat, View};
pub use message::{
    Event, ExitStatus, Failure, FailureKind, FromGuest, FromHost, Hello, Reply, Request, StartPart,
    StartedPart, Welcome,
};
pub use spec::{
    Attachment, Bridge, ContainerSpec, Device, DeviceKind, DeviceLimit, DeviceRule, LayerExtent, Limits,
    Mount, Namespace, Network, Process, Rlimit, SeccompProgram, Stdio, WindowSize,
};
pub use token::{MalformedToken, Token};
pub use usage::{BlockUsage, InterfaceUsage, MOST_SIZES, ProcessInfo, Sizes, Usage};

/// The version that this crate speaks. Raised when a message changes in a way that an older peer would misread;
/// fields that an older peer may ignore do not raise it.
pub const VERSION: u32 = 1;
/// The oldest version of the other side that this crate still understands.
pub const OLDEST_VERSION: u32 = 1;
/// The host's vsock port for the control connection.
pub const CONTROL_PORT: u32 = 1024;
/// The host's vsock port for byte streams.
pub const STREAM_PORT: u32 = 1025;
/// The vsock context ID of the host (virtio 1.3, section 5.10.4).
pub const HOST_CID: u32 = 2;
/// The vsock context ID of the guest. Each machine has its own device, so every guest can have the same.
pub const GUEST_CID: u32 = 3;
/// The virtio-blk serial of the read-only disk whose extents are the image layers.
pub const LAYER_DISK_SERIAL: &str = "layers";
/// The virtio-blk serial of the writable ext4 disk.
pub const DATA_DISK_SERIAL: &str = "data";
