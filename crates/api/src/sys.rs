//! Where clients connect: a unix socket, or a named pipe on Windows. Both admit their owner only.

use std::io;
use std::path::PathBuf;

#[cfg(unix)]
#[path = "sys/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "sys/windows.rs"]
mod platform;

pub use platform::Listener;
pub(crate) use platform::Stream;

/// The socket or pipe could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "the socket path {path} is {length} bytes long and the system takes {limit}: set SAMPAN_HOME to a \
         shorter folder", path = .path.display()
    )]
    TooLong {
        path: PathBuf,
        length: usize,
        limit: usize,
    },
    #[error("{} exists and is not a socket: move it away, or set SAMPAN_HOME to another folder", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot listen on {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}
