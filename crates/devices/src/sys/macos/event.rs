//! A pair of sockets: a byte in flight is a rung event.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use polling::{Event, PollMode, Poller};
use rustix::event::{PollFd, PollFlags, poll};

#[derive(Debug)]
pub(crate) struct Signal {
    ringer: UnixStream,
    bell: UnixStream,
}

impl Signal {
    pub(crate) fn new() -> io::Result<Self> {
        let (ringer, bell) = UnixStream::pair()?;
        ringer.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        Ok(Self { ringer, bell })
    }

    pub(crate) fn set(&self) {
        // Fails only when the socket is full, and then the event is rung already.
        let _ = (&self.ringer).write(&[1]);
    }

    pub(crate) fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.bell).read(&mut bytes), Ok(64)) {}
    }

    pub(crate) fn wait(&self) -> io::Result<()> {
        poll(&mut [PollFd::new(&self.bell, PollFlags::IN)], None)?;
        Ok(())
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            ringer: self.ringer.try_clone()?,
            bell: self.bell.try_clone()?,
        })
    }

    /// Makes `poller` report this event under `key` until it is cleared.
    #[allow(
        unsafe_code,
        reason = "polling asks for a promise on the descriptor's lifetime"
    )]
    pub(crate) fn register(&self, poller: &Poller, key: usize) -> io::Result<()> {
        // SAFETY: a descriptor that is closed early leaves the kernel's list by itself; no memory is tied to it.
        unsafe { poller.add_with_mode(&self.bell, Event::readable(key), PollMode::Level) }
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
