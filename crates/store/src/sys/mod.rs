//! What differs between operating systems.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::sync_folder;
#[cfg(windows)]
pub(crate) use windows::sync_folder;
