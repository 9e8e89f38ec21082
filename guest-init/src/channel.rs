//! A non-blocking socket that carries the [`frame`]s of the protocol: the control connection, and the
//! socket pair between PID 1 and each shim.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::frame::{self, Decoder};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes read at a time.
const READ_LENGTH: usize = 64 << 10;

/// A socket with the frames that wait to be sent and the bytes of one that is arriving.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    decoder: Decoder,
    waiting: Vec<u8>,
    /// How much of `waiting` is sent.
    sent: usize,
}

impl Channel {
    /// Wraps a connected stream socket, blocking or not.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            waiting: Vec::new(),
            sent: 0,
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn backlog(&self) -> usize {
        self.waiting.len().saturating_sub(self.sent)
    }

    /// Queues one message and sends what the socket takes now. Does not block.
    pub(crate) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let bytes = frame::encode(message).map_err(io::Error::other)?;
        self.waiting.extend_from_slice(&bytes);
        self.flush()
    }

    /// Sends what the socket takes now. Does not block.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match retry_on_intr(|| send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        self.waiting.clear();
        self.sent = 0;
        Ok(())
    }

    /// Blocks until everything is sent.
    pub(crate) fn flush_all(&mut self) -> io::Result<()> {
        self.flush()?;
        while self.backlog() > 0 {
            retry_on_intr(|| poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], None))?;
            self.flush()?;
        }
        Ok(())
    }

    /// Reads once without blocking. `Ok(false)` is the end of the connection.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = vec![0; READ_LENGTH];
        match retry_on_intr(|| recv(&self.socket, &mut *bytes, RecvFlags::DONTWAIT)) {
            Ok((0, _)) => Ok(false),
            Ok((count, _)) => {
                self.decoder.push(bytes.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The next whole message that was read.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        self.decoder.next_message().map_err(io::Error::other)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
