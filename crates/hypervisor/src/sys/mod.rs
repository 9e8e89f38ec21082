//! Which hypervisor this operating system has, and its object for events.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;
#[cfg(windows)]
use windows as platform;

/// A borrowed event that a doorbell rings: an eventfd on Linux, an event object on Windows.
pub use platform::EventRef;

use crate::{Hypervisor, OpenError};

/// Opens the host's hypervisor.
pub fn open() -> Result<Box<dyn Hypervisor>, OpenError> {
    platform::open()
}
