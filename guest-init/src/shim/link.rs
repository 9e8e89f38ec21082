//! One byte stream: a vsock connection to the host on one side, a pipe or a terminal of a process on the other.
//!
//! Both descriptors are non-blocking and watched edge-triggered: after any event [`Link::advance`] does all
//! that can be done, in both directions, until each would block. A direction holds one buffer; as long as it is
//! not written out, nothing more is read, so a host that does not read stops the program and not the guest.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::Token;
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::net::sockopt::socket_error;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use crate::sys::vsock;

/// Bytes moved at a time: what a pipe holds.
const BUFFER_LENGTH: usize = 64 << 10;
/// Buffers moved in one go before others have their turn.
const TURN: usize = 16;

/// Which way the payload flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the host to standard input.
    In,
    /// From standard output or error to the host.
    Out,
    /// A terminal.
    Both,
}

/// Bytes on their way: those between `done` and `end`.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    done: usize,
    end: usize,
}

impl Buffer {
    fn holding(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            done: 0,
            end: bytes.len(),
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..self.end).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn take(&mut self, count: usize) {
        self.done = self.done.saturating_add(count);
    }

    fn clear(&mut self) {
        self.done = 0;
        self.end = 0;
    }

    /// Reads once into the empty buffer.
    fn fill(&mut self, from: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.clear();
        self.bytes.resize(BUFFER_LENGTH, 0);
        self.end = retry_on_intr(|| read(from, &mut *self.bytes))?;
        Ok(self.end)
    }
}

/// One stream and its process's end.
#[derive(Debug)]
pub(super) struct Link {
    direction: Direction,
    stream: OwnedFd,
    connected: bool,
    /// The stream is of no further use; the process's output is read and dropped.
    broken: bool,
    local: Option<OwnedFd>,
    to_host: Buffer,
    to_process: Buffer,
    /// Nothing more comes from the process.
    output_ended: bool,
    /// The process ended: what can be read now without waiting is all that it wrote.
    process_ended: bool,
    /// The host was told that nothing more comes.
    closed: bool,
    /// Nothing more comes from the host.
    input_ended: bool,
}

impl Link {
    /// Begins to dial the stream. `local` is made non-blocking by the caller.
    pub(super) fn dial(direction: Direction, token: &Token, local: OwnedFd) -> std::io::Result<Self> {
        Ok(Self {
            direction,
            stream: vsock::begin_connect(protocol::STREAM_PORT)?,
            connected: false,
            broken: false,
            local: Some(local),
            to_host: Buffer::holding(token.as_bytes()),
            to_process: Buffer::default(),
            output_ended: false,
            process_ended: false,
            closed: false,
            input_ended: false,
        })
    }

    /// The connection to the host.
    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The process's end, until it is closed.
    pub(super) fn local(&self) -> Option<BorrowedFd<'_>> {
        self.local.as_ref().map(AsFd::as_fd)
    }

    /// The terminal's own side, if this is one.
    pub(super) fn terminal(&self) -> Option<&OwnedFd> {
        if self.direction == Direction::Both {
            self.local.as_ref()
        } else {
            None
        }
    }

    /// The process is gone. Its input has no reader; its output ends with what is there now.
    pub(super) fn end_of_process(&mut self) {
        self.process_ended = true;
        self.input_ended = true;
        self.to_process.clear();
        if self.direction == Direction::In {
            self.local = None;
        }
    }

    /// The pipe of standard input has no reader any more.
    pub(super) fn local_hung_up(&mut self) {
        if self.direction == Direction::In {
            self.close_input();
        }
    }

    /// Whether everything that the process wrote was handed to the stream, and its end too.
    pub(super) fn is_delivered(&self) -> bool {
        self.direction == Direction::In || self.closed || (self.broken && self.output_ended)
    }

    /// Moves what can be moved. Returns whether there is more to do at once.
    pub(super) fn advance(&mut self) -> bool {
        let mut more = false;
        if !self.broken && !self.connected {
            self.connect();
        }
        more |= self.advance_output();
        if self.connected && self.direction != Direction::Out {
            more |= self.advance_input();
        }
        more
    }

    fn connect(&mut self) {
        if !matches!(socket_error(&self.stream), Ok(Ok(()))) {
            return self.give_stream_up();
        }
        match self.send_rest() {
            Ok(()) | Err(Errno::AGAIN) => self.connected = true,
            Err(Errno::NOTCONN) => {}
            Err(_) => self.give_stream_up(),
        }
    }

    /// Sends what waits for the host.
    fn send_rest(&mut self) -> Result<(), Errno> {
        while !self.to_host.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let count = retry_on_intr(|| send(&self.stream, self.to_host.rest(), flags))?;
            self.to_host.take(count);
        }
        Ok(())
    }

    fn give_stream_up(&mut self) {
        self.broken = true;
        self.to_host.clear();
        self.input_ended = true;
    }

    /// From the process to the host.
    fn advance_output(&mut self) -> bool {
        for _ in 0..TURN {
            if self.broken {
                self.to_host.clear();
            } else if !self.connected {
                return false;
            } else {
                match self.send_rest() {
                    Ok(()) => {}
                    Err(Errno::AGAIN) => return false,
                    Err(_) => self.give_stream_up(),
                }
            }
            if self.output_ended {
                self.close_output();
                return false;
            }
            let Some(local) = self.local.as_ref().filter(|_| self.direction != Direction::In) else {
                return false;
            };
            match self.to_host.fill(local.as_fd()) {
                Ok(0) => self.output_ended = true,
                Ok(_) => {}
                Err(Errno::AGAIN) if !self.process_ended => return false,
                // A terminal without any open side for the program fails with EIO.
                Err(_) => self.output_ended = true,
            }
        }
        true
    }

    fn close_output(&mut self) {
        if !self.closed && !self.broken {
            self.closed = true;
            let _ = shutdown(&self.stream, Shutdown::Write);
        }
    }

    /// From the host to the process.
    fn advance_input(&mut self) -> bool {
        for _ in 0..TURN {
            while !self.to_process.is_empty() {
                let Some(local) = &self.local else { return false };
                match retry_on_intr(|| write(local, self.to_process.rest())) {
                    Ok(count) => self.to_process.take(count),
                    Err(Errno::AGAIN) => return false,
                    Err(_) => {
                        self.close_input();
                        return false;
                    }
                }
            }
            if self.input_ended {
                // The end of a terminal's input is a character of its own and not the end of the stream.
                if self.direction == Direction::In {
                    self.local = None;
                }
                return false;
            }
            match self.to_process.fill(self.stream.as_fd()) {
                Ok(0) => self.input_ended = true,
                Ok(_) => {}
                Err(Errno::AGAIN) => return false,
                Err(_) => self.input_ended = true,
            }
        }
        true
    }

    /// Nobody reads the input: tells the host to send no more.
    fn close_input(&mut self) {
        self.input_ended = true;
        self.to_process.clear();
        if self.direction == Direction::In {
            self.local = None;
            let _ = shutdown(&self.stream, Shutdown::Read);
        }
    }

    /// After an exec's end was told: what its children still write goes nowhere, but does not stop them.
    pub(super) fn drain(&mut self) {
        self.give_stream_up();
        self.output_ended = false;
        self.process_ended = false;
        self.advance_output();
    }

    /// Whether the process's end is closed for good.
    pub(super) fn is_finished(&self) -> bool {
        self.local.is_none() || (self.broken && self.output_ended)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    /// A link over a socket pair that stands for the vsock connection; returns the host's end.
    fn link(direction: Direction, local: OwnedFd) -> (Link, OwnedFd) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (stream, host) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let link = Link {
            direction,
            stream,
            connected: true,
            broken: false,
            local: Some(local),
            to_host: Buffer::default(),
            to_process: Buffer::default(),
            output_ended: false,
            process_ended: false,
            closed: false,
            input_ended: false,
        };
        (link, host)
    }

    fn read_all(fd: &OwnedFd) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            match read(fd, &mut bytes) {
                Ok(0) => return (all, true),
                Ok(count) => all.extend_from_slice(&bytes[..count]),
                Err(_) => return (all, false),
            }
        }
    }

    #[test]
    fn nothing_is_lost_when_the_process_ends_before_the_host_reads() {
        let (from, to) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let (mut link, host) = link(Direction::Out, from);
        let sent = vec![7; 60_000];
        assert_eq!(write(&to, &sent).unwrap(), sent.len());
        // `to` stays open, as a descriptor that the process handed on would.
        link.end_of_process();
        let mut received = Vec::new();
        let mut ended = false;
        while !link.is_delivered() || !ended {
            link.advance();
            let (bytes, end) = read_all(&host);
            received.extend(bytes);
            ended = end;
        }
        assert_eq!(received, sent);
    }

    #[test]
    fn the_end_of_the_hosts_input_closes_the_pipe_after_the_last_byte() {
        let (from, to) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let (mut link, host) = link(Direction::In, to);
        write(&host, b"last words").unwrap();
        drop(host);
        link.advance();
        assert_eq!(read_all(&from), (b"last words".to_vec(), true));
    }

    #[test]
    fn a_program_that_closes_its_input_stops_the_host_from_sending() {
        let (from, to) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let (mut link, host) = link(Direction::In, to);
        drop(from);
        link.local_hung_up();
        assert!(link.local().is_none());
        assert_eq!(send(&host, b"x", SendFlags::NOSIGNAL), Err(Errno::PIPE));
    }

    #[test]
    fn output_without_a_host_is_dropped_and_the_program_goes_on() {
        let (from, to) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        let (mut link, host) = link(Direction::Out, from);
        drop(host);
        for _ in 0..4 {
            assert_eq!(write(&to, &[1; 60_000]).unwrap(), 60_000);
            link.advance();
        }
        drop(to);
        link.advance();
        assert!(link.is_delivered() && link.is_finished());
    }
}
