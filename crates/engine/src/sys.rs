//! What differs between operating systems: local sockets, private folders, disk figures, child processes, the wall
//! clock.

#[cfg(unix)]
#[path = "sys/unix.rs"]
mod imp;
#[cfg(windows)]
#[path = "sys/windows.rs"]
mod imp;

#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod clock;
#[cfg(not(target_os = "linux"))]
#[path = "sys/portable.rs"]
mod clock;

pub(crate) use clock::ClockJumps;
pub(crate) use imp::{
    Listener, ReadHalf, WriteHalf, allocated_bytes, free_disk_bytes, hypervisor_node, is_private, memory,
    prepare_child, private_directory, socket_path_limit, sync_directory, system,
};

/// The computer's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    /// What programs can still be given without swapping.
    pub(crate) available: u64,
}
