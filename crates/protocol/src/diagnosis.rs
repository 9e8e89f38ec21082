//! How a guest is, for whoever looks for a fault.

use serde::{Deserialize, Serialize};

/// Bytes of the kernel's log that a guest tells at most: far below what a frame takes, however it is escaped.
pub const LONGEST_KERNEL_LOG: usize = 128 << 10;

/// What a guest says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnosis {
    /// The guest's wall clock, in nanoseconds since the Unix epoch.
    pub unix_time_ns: u64,
    /// The end of the kernel's log, a line for each message, at most [`LONGEST_KERNEL_LOG`] bytes.
    pub kernel_log: String,
    /// The size of the file system on the data disk.
    pub disk_bytes: u64,
    /// What containers can still write there.
    pub disk_free: u64,
}
