//! From the guest to the host: the packets of the second queue.

use super::connection::{Connection, Reaction};
use super::packet::{HEADER_SIZE, HOST_CID, Header, Operation, STREAM};
use super::peer::{Peer, Ports};
use super::switch::Switch;
use super::table::{MAX_STALLED, Slot};
use crate::queue::{QueueError, RingSlice, copy_out, skip};
use crate::worker::Line;

/// Data packets in a row for one connection, to be sent with one system call. Their chains are given back after
/// that, as the data is still in them.
#[derive(Default)]
pub(super) struct Run<'m> {
    index: Option<usize>,
    slices: Vec<RingSlice<'m>>,
    /// The heads of the chains, each with the bytes in it.
    heads: Vec<(u16, usize)>,
}

impl Switch {
    /// Handles the packets that are available, at most a queue's worth.
    pub(super) fn transmit<'m>(&mut self, line: &mut Line<'m>, run: &mut Run<'m>) -> Result<(), QueueError> {
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let mut result = Ok(());
        for _ in 0..line.ring.size() {
            readable.clear();
            writable.clear();
            match line.ring.take(&mut readable, &mut writable) {
                Ok(Some(chain)) => {
                    if chain.malformed || !self.packet(&readable, line, run) {
                        line.give_sent(chain.head, chain.readable);
                    } else {
                        run.heads.push((chain.head, chain.readable));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.finish(line, run);
        result
    }

    /// Handles one packet; `true` says that its chain belongs to the run now.
    fn packet<'m>(&mut self, readable: &[RingSlice<'m>], line: &mut Line<'m>, run: &mut Run<'m>) -> bool {
        let mut bytes = [0; HEADER_SIZE];
        if copy_out(readable, &mut bytes) < HEADER_SIZE {
            return false;
        }
        let header = Header::decode(&bytes);
        let available: usize = readable.iter().map(|slice| slice.len()).sum();
        let length = header.length as usize;
        let operation = Operation::from_code(header.operation);
        let ports = Ports {
            guest: header.source_port,
            host: header.destination_port,
        };
        if header.source_cid != self.guest_cid || length > available - HEADER_SIZE {
            return false;
        }
        let Some(operation) =
            operation.filter(|_| header.destination_cid == HOST_CID && header.kind == STREAM)
        else {
            self.table.push_reset(ports);
            return false;
        };
        let Some(index) = self.table.find(ports) else {
            self.finish(line, run);
            self.stranger(operation, ports, &header);
            return false;
        };
        if operation != Operation::Data || run.index != Some(index) {
            self.finish(line, run);
        }
        let Some(peer) = self.table.peer(index) else {
            return false;
        };
        match peer.connection.packet(operation, &header, length) {
            Reaction::Data => {
                run.index = Some(index);
                skip(readable, HEADER_SIZE, length, &mut run.slices);
                return true;
            }
            Reaction::Nothing => self.settle(index),
            Reaction::Opened => self.opened(index),
            Reaction::Shutdown => {
                peer.flush(&self.poller);
                self.settle(index);
            }
            Reaction::Gone => {
                self.table.detach(index, &self.poller);
                if let Some(peer) = self.table.peer(index) {
                    peer.flush(&self.poller);
                    self.settle(index);
                }
            }
            Reaction::Violation => {
                self.finish(line, run);
                self.table.reset(index, &self.poller);
            }
        }
        false
    }

    /// Sends the run's data and gives its chains back.
    fn finish<'m>(&mut self, line: &mut Line<'m>, run: &mut Run<'m>) {
        if let Some(index) = run.index.take()
            && let Some(peer) = self.table.peer(index)
        {
            peer.forward(&mut run.slices, &mut self.scratch, &self.poller);
            self.settle(index);
            if self.table.stalled > MAX_STALLED {
                self.table.reset(index, &self.poller);
            }
        }
        run.slices.clear();
        for (head, bytes) in run.heads.drain(..) {
            line.give_sent(head, bytes);
        }
    }

    /// A packet for a connection that is not there: a new one, or a leftover.
    fn stranger(&mut self, operation: Operation, ports: Ports, header: &Header) {
        match operation {
            Operation::Reset => {}
            Operation::Request if !self.table.full() => match self.folder.connect(ports.host) {
                Ok(socket) => {
                    let peer = Peer::new(ports, Connection::accepted(header), socket, false);
                    let index = self.table.insert(Slot::Peer(Box::new(peer)));
                    self.watch(index);
                }
                Err(error) => {
                    tracing::debug!(port = ports.host, %error, "the guest connects to a port that nobody serves");
                    self.table.push_reset(ports);
                }
            },
            _ => self.table.push_reset(ports),
        }
    }
}
