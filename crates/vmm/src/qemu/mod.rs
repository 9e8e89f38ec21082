//! The emulated machine: QEMU translates the guest's instructions (its *TCG*), and the devices are ours, served to it
//! over vhost-user. So a machine of a foreign architecture, or one on a host without a usable hypervisor, has the
//! same devices, the same guest and the same protocol as every other.
//!
//! QEMU is a child process that dies with this one. Everything between the two is an inherited descriptor: a socket
//! for each device, one for QMP (QEMU's machine protocol, which tells why the guest stopped), and pipes for the
//! guest's console and for QEMU's own messages. No path is made that another user could meet.

#[cfg(target_os = "linux")]
mod arguments;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod qmp;
mod sys;
#[cfg(target_os = "linux")]
mod tsc;

pub(crate) use sys::start;
