//! What differs between operating systems for a client: terminals, signals, where data lies, how the service is
//! reached and left running.

#[cfg(unix)]
#[path = "sys/unix.rs"]
mod unix;

#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod platform;
#[cfg(target_os = "macos")]
#[path = "sys/macos.rs"]
mod platform;
#[cfg(windows)]
#[path = "sys/windows.rs"]
mod platform;

pub(crate) use platform::*;
