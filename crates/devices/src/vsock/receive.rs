//! From the host to the guest: filling the buffers of the first queue.

use std::io;

use super::packet::{HEADER_SIZE, Header, Operation};
use super::switch::Switch;
use super::table::header;
use crate::queue::{Chain, QueueError, RingSlice, copy_in, skip};
use crate::sys::socket;
use crate::worker::Line;

/// The system reads into no more at a time.
const MAX_SLICES: usize = 1024;

/// The guest's buffers that one read fills.
#[derive(Default)]
pub(super) struct Batch<'m> {
    chains: Vec<Chain>,
    /// All buffers of all chains, in order.
    buffers: Vec<RingSlice<'m>>,
    /// The same without the room for headers and without more than the guest has credit for.
    payload: Vec<RingSlice<'m>>,
    readable: Vec<RingSlice<'m>>,
}

/// How an attempt to send to the guest went.
#[derive(PartialEq, Eq)]
enum Sent {
    Yes,
    /// There is nothing to send.
    Nothing,
    /// The guest has no buffers on offer.
    Starved,
}

impl Switch {
    /// Sends what is due and reads from every connection that may have bytes, once. `true`: the guest's buffers
    /// ran out.
    pub(super) fn receive<'m>(
        &mut self,
        line: &mut Line<'m>,
        batch: &mut Batch<'m>,
    ) -> Result<bool, QueueError> {
        if self.control(line, batch)? == Sent::Starved {
            return Ok(true);
        }
        for _ in 0..self.table.readers() {
            let Some(index) = self.table.next_reader() else {
                break;
            };
            match self.read(index, line, batch)? {
                Sent::Yes => self.table.queue_read(index),
                Sent::Nothing => self.settle(index),
                Sent::Starved => {
                    self.table.unread(index);
                    return Ok(true);
                }
            }
        }
        Ok(self.control(line, batch)? == Sent::Starved)
    }

    /// Sends packets without payload.
    fn control<'m>(&mut self, line: &mut Line<'m>, batch: &mut Batch<'m>) -> Result<Sent, QueueError> {
        while let Some((mut header, packet)) = self.table.next_control() {
            header.destination_cid = self.guest_cid;
            batch.gather(line, 1, HEADER_SIZE)?;
            let Some(chain) = batch.chains.first() else {
                return Ok(Sent::Starved);
            };
            copy_in(&batch.buffers, &header.encode());
            line.ring.give(chain.head, HEADER_SIZE);
            self.table.control_went(packet);
        }
        Ok(Sent::Nothing)
    }

    /// Reads from one connection's socket straight into the guest's buffers.
    fn read<'m>(
        &mut self,
        index: usize,
        line: &mut Line<'m>,
        batch: &mut Batch<'m>,
    ) -> Result<Sent, QueueError> {
        let Some(peer) = self.table.peer(index) else {
            return Ok(Sent::Nothing);
        };
        let window = peer.connection.window();
        let Some(socket) = peer.socket.as_ref().filter(|_| window > 0) else {
            return Ok(Sent::Nothing);
        };
        batch.gather(line, peer.batch(), HEADER_SIZE + 1)?;
        if batch.chains.is_empty() {
            return Ok(Sent::Starved);
        }
        let offered = batch.cut_payload(window);
        let outcome = socket::receive(socket, &batch.payload, &mut self.scratch);
        let count = match outcome {
            Ok(count) if count > 0 => count,
            other => {
                line.ring.untake(batch.chains.len() as u16);
                match other {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Sent::Yes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(_) if !peer.hung_up => peer.connection.host_ended(),
                    _ => peer.lose_host(&self.poller),
                }
                peer.readable = false;
                return Ok(Sent::Nothing);
            }
        };
        peer.learn(count, offered);
        peer.connection.sent(count);
        let mut header = header(peer.ports, Operation::Data);
        header.destination_cid = self.guest_cid;
        (header.buffer_size, header.forwarded) = peer.connection.credit();
        peer.connection.told(Operation::Data);
        // A read that was not filled emptied the socket, and the poller tells of what comes then. An end that was told
        // already is told no more.
        let more = count == offered || peer.ending;
        peer.readable = more;
        batch.deliver(line, header, count);
        Ok(if more { Sent::Yes } else { Sent::Nothing })
    }
}

impl<'m> Batch<'m> {
    /// Takes up to `count` chains with room for at least `least` bytes each.
    fn gather(&mut self, line: &mut Line<'m>, count: usize, least: usize) -> Result<(), QueueError> {
        self.chains.clear();
        self.buffers.clear();
        let mut useless = 0;
        while self.chains.len() < count && useless <= line.ring.size() {
            self.readable.clear();
            let before = self.buffers.len();
            let Some(chain) = line.ring.take(&mut self.readable, &mut self.buffers)? else {
                break;
            };
            if chain.malformed || chain.writable < least {
                // The ring takes chains back in order only, so a useless one ends the batch.
                self.buffers.truncate(before);
                if !self.chains.is_empty() {
                    line.ring.untake(1);
                    break;
                }
                line.ring.give(chain.head, 0);
                useless += 1;
                continue;
            }
            self.chains.push(chain);
        }
        Ok(())
    }

    /// Lists the room for payload, at most `window` bytes of it; returns how much it is.
    fn cut_payload(&mut self, window: usize) -> usize {
        self.payload.clear();
        let (mut left, mut at) = (window, 0);
        for chain in &self.chains {
            let buffers = self
                .buffers
                .get(at..at + chain.writable_slices)
                .unwrap_or_default();
            let take = left.min(chain.writable - HEADER_SIZE);
            skip(buffers, HEADER_SIZE, take, &mut self.payload);
            left -= take;
            at += chain.writable_slices;
        }
        self.payload.truncate(MAX_SLICES);
        self.payload.iter().map(|slice| slice.len()).sum()
    }

    /// Writes the headers for `count` bytes of payload, and gives back the chains that hold them; the others are
    /// taken again later.
    fn deliver(&mut self, line: &mut Line<'m>, mut header: Header, count: usize) {
        let (mut left, mut at, mut used) = (count, 0, 0u16);
        for chain in &self.chains {
            if left == 0 {
                break;
            }
            let buffers = self
                .buffers
                .get(at..at + chain.writable_slices)
                .unwrap_or_default();
            let length = left.min(chain.writable - HEADER_SIZE);
            header.length = length as u32;
            copy_in(buffers, &header.encode());
            line.ring.give(chain.head, HEADER_SIZE + length);
            left -= length;
            at += chain.writable_slices;
            used += 1;
        }
        line.ring.untake(self.chains.len() as u16 - used);
    }
}
