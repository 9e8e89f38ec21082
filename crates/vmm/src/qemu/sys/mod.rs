//! Where QEMU can be given devices over vhost-user.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(crate) use super::machine::start;
#[cfg(target_os = "linux")]
pub(super) use linux::die_with_parent;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::start;
