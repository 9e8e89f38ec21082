//! Registration of descriptors that are no sockets.

use std::io;
use std::os::fd::AsRawFd;

use polling::{PollMode, Poller};

/// Makes `poller` report `source` as readable, level-triggered.
#[allow(
    unsafe_code,
    reason = "polling asks for a promise on the descriptor's lifetime"
)]
pub(crate) fn register_readable(source: &impl AsRawFd, poller: &Poller, key: usize) -> io::Result<()> {
    // SAFETY: the kernel drops the registration of a descriptor that is closed early; at worst a clone of it goes on
    // being reported under its key. No memory is tied to the registration.
    unsafe { poller.add_with_mode(source.as_raw_fd(), polling::Event::readable(key), PollMode::Level) }
}
