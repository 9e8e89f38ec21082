//! A connection with the host program's socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;

use socket2::Socket;

use super::connection::Connection;
use crate::queue::RingSlice;
use crate::sys::Interest;
use crate::sys::poll::{Poller, interest};
use crate::sys::socket::{self, Scratch};

/// Buffers that one read fills at first and at most.
const FIRST_BATCH: usize = 4;
const MAX_BATCH: usize = 128;

/// The two ports of a connection: the guest's and the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ports {
    pub(crate) guest: u32,
    pub(crate) host: u32,
}

/// A connection and its two ends.
pub(crate) struct Peer {
    pub(crate) ports: Ports,
    pub(crate) connection: Connection,
    /// Gone when the host program is.
    pub(crate) socket: Option<Socket>,
    /// The guest's bytes that the host program does not take.
    stalled: VecDeque<u8>,
    /// The host program asked for this connection and waits for the guest's answer.
    pub(crate) greeted: bool,
    /// The guest forgot the connection; bytes that it sent before wait for the host program.
    pub(crate) detached: bool,
    /// In the queue of connections with packets due.
    pub(crate) control_queued: bool,
    /// In the queue of connections whose socket may have bytes.
    pub(crate) read_queued: bool,
    /// The socket may have bytes for the guest.
    pub(crate) readable: bool,
    /// The host program may have sent its last byte.
    pub(crate) ending: bool,
    /// The host program has closed its socket.
    pub(crate) hung_up: bool,
    /// The host's write direction has been shut down.
    ended: bool,
    /// The host's read direction has been shut down.
    deafened: bool,
    watched: Option<Interest>,
    batch: usize,
    /// The stalled bytes as counted for all connections together.
    pub(crate) counted: usize,
}

impl Peer {
    pub(crate) fn new(ports: Ports, connection: Connection, socket: Socket, greeted: bool) -> Self {
        Self {
            ports,
            connection,
            socket: Some(socket),
            stalled: VecDeque::new(),
            greeted,
            detached: false,
            control_queued: false,
            read_queued: false,
            readable: false,
            ending: false,
            hung_up: false,
            ended: false,
            deafened: false,
            // A connection that the host program asked for is watched since its greeting.
            watched: greeted.then(|| interest(true, false)),
            batch: FIRST_BATCH,
            counted: 0,
        }
    }

    /// Bytes that wait for the host program.
    pub(crate) fn stalled(&self) -> usize {
        self.stalled.len()
    }

    /// Starts to watch the socket. `key` is this peer's for as long as it lives.
    pub(crate) fn watch(&mut self, poller: &Poller, key: usize) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let wanted = interest(true, false);
        self.watched = Some(wanted);
        poller.watch(socket, key, wanted)
    }

    /// Adapts what is watched for to what is needed now.
    pub(crate) fn rewatch(&mut self, poller: &Poller, key: usize) {
        let reading = !self.readable && self.connection.window() > 0;
        let wanted = interest(reading, !self.stalled.is_empty());
        let Some(socket) = self.socket.as_ref().filter(|_| self.watched != Some(wanted)) else {
            return;
        };
        self.watched = Some(wanted);
        if let Err(error) = poller.rewatch(socket, key, wanted) {
            tracing::debug!(%error, "a socket cannot be watched");
            self.lose_host(poller);
        }
    }

    /// Passes the guest's bytes on to the host program, and keeps what it does not take.
    pub(crate) fn forward(
        &mut self,
        slices: &mut Vec<RingSlice<'_>>,
        scratch: &mut Scratch,
        poller: &Poller,
    ) {
        while let Some(socket) = self
            .socket
            .as_ref()
            .filter(|_| !slices.is_empty() && self.stalled.is_empty())
        {
            match socket::send(socket, slices, scratch) {
                Ok(count) => {
                    self.connection.forwarded(count);
                    advance(slices, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.lose_host(poller),
            }
        }
        let rest: usize = slices.iter().map(|slice| slice.len()).sum();
        if self.socket.is_none() {
            self.connection.forwarded(rest);
            return;
        }
        self.stalled.reserve(rest);
        let mut chunk = [0; 4096];
        for slice in slices.drain(..) {
            let mut at = 0;
            while let Ok(part) = slice.offset(at) {
                let count = part.copy_to(&mut chunk);
                if count == 0 {
                    break;
                }
                self.stalled.extend(chunk.iter().take(count));
                at += count;
            }
        }
    }

    /// Passes on what the host program did not take before, and ends its directions that the guest has ended.
    pub(crate) fn flush(&mut self, poller: &Poller) {
        while let Some(socket) = self.socket.as_ref().filter(|_| !self.stalled.is_empty()) {
            let (front, back) = self.stalled.as_slices();
            match socket
                .send_vectored_with_flags(&[IoSlice::new(front), IoSlice::new(back)], socket::SEND_FLAGS)
            {
                Ok(count) => {
                    self.stalled.drain(..count.min(self.stalled.len()));
                    self.connection.forwarded(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.lose_host(poller),
            }
        }
        if self.stalled.is_empty() {
            self.stalled.shrink_to(0);
        }
        let Some(socket) = &self.socket else { return };
        // An error means that the host program is gone, which its events tell, too.
        if self.connection.guest_ended() && self.stalled.is_empty() && !self.ended {
            self.ended = true;
            let _ = socket.shutdown(Shutdown::Write);
        }
        if self.connection.guest_deaf() && !self.deafened {
            self.deafened = true;
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// The host program is gone; what waited for it is dropped.
    pub(crate) fn lose_host(&mut self, poller: &Poller) {
        self.forget(poller);
        self.socket = None;
        let dropped = self.stalled.len();
        self.stalled = VecDeque::new();
        self.connection.forwarded(dropped);
        self.connection.host_gone();
    }

    /// Ends the watch on the socket.
    pub(crate) fn forget(&self, poller: &Poller) {
        if let Some(socket) = &self.socket {
            let _ = poller.forget(socket);
        }
    }

    /// How many of the guest's buffers the next read should offer.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Learns from a read that filled `count` bytes of `offered`.
    pub(crate) fn learn(&mut self, count: usize, offered: usize) {
        if count == offered {
            self.batch = (self.batch * 2).min(MAX_BATCH);
        } else if count < offered / 4 {
            self.batch = (self.batch / 2).max(FIRST_BATCH);
        }
    }
}

fn advance(slices: &mut Vec<RingSlice<'_>>, mut count: usize) {
    let mut whole = 0;
    for slice in slices.iter_mut() {
        if count < slice.len() {
            if let Ok(rest) = slice.offset(count) {
                *slice = rest;
            }
            break;
        }
        count -= slice.len();
        whole += 1;
    }
    slices.drain(..whole);
}
