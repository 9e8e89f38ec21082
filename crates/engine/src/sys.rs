//! What differs between operating systems: local sockets, private folders, disk figures, child processes.

#[cfg(unix)]
#[path = "sys/unix.rs"]
mod imp;
#[cfg(windows)]
#[path = "sys/windows.rs"]
mod imp;

pub(crate) use imp::{
    Listener, ReadHalf, WriteHalf, free_disk_bytes, hypervisor_node, is_private, prepare_child,
    private_directory, socket_path_limit, sync_directory,
};
