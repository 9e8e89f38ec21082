//! What the devices ask of the host's operating system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(target_os = "linux"))]
pub(crate) mod portable;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::{event, file, memory, poll, socket};

/// What to wait for at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) reading: bool,
    pub(crate) writing: bool,
}

/// What a poller reports of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) key: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The other side may have sent its last byte.
    pub(crate) ended: bool,
    /// The other side has closed.
    pub(crate) gone: bool,
}
