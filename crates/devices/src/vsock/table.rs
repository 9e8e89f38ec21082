//! The connections and the queues of work on them.

use std::collections::{HashMap, VecDeque};

use super::host::Greeting;
use super::packet::{HOST_CID, Header, Operation, STREAM};
use super::peer::{Peer, Ports};
use crate::sys::poll::Poller;
use socket2::Socket;

/// Connections, greetings included. Each holds a descriptor.
pub(crate) const MAX_CONNECTIONS: usize = 1024;
/// Bytes of all connections together that wait for host programs.
pub(crate) const MAX_STALLED: usize = 64 << 20;
/// RSTs for connections that are not (or no longer) there. A guest that takes none loses the rest.
const MAX_RESETS: usize = 256;
/// Host ports of connections that host programs asked for.
const FIRST_PORT: u32 = 1 << 30;

/// A place in the table.
pub(crate) enum Slot {
    Free,
    /// A host program that has not named the guest's port yet.
    Greeting(Socket, Greeting),
    Peer(Box<Peer>),
}

/// All connections.
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_ports: HashMap<Ports, usize>,
    next_port: u32,
    /// Bytes that wait for host programs.
    pub(crate) stalled: usize,
    /// Connections with a packet due.
    control: VecDeque<usize>,
    /// Connections whose socket may have bytes for the guest.
    readers: VecDeque<usize>,
    resets: VecDeque<Ports>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_ports: HashMap::new(),
            next_port: FIRST_PORT,
            stalled: 0,
            control: VecDeque::new(),
            readers: VecDeque::new(),
            resets: VecDeque::new(),
        }
    }

    pub(crate) fn full(&self) -> bool {
        self.slots.len() - self.free.len() >= MAX_CONNECTIONS
    }

    /// Takes a place; the caller checked that the table is not full.
    pub(crate) fn insert(&mut self, slot: Slot) -> usize {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot::Free);
                self.slots.len() - 1
            }
        };
        if let Slot::Peer(peer) = &slot {
            self.by_ports.insert(peer.ports, index);
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
        }
        index
    }

    /// Puts another content into a taken place.
    pub(crate) fn replace(&mut self, index: usize, slot: Slot) {
        if let Slot::Peer(peer) = &slot {
            self.by_ports.insert(peer.ports, index);
        }
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
        }
    }

    pub(crate) fn slot(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)
    }

    pub(crate) fn find(&self, ports: Ports) -> Option<usize> {
        self.by_ports.get(&ports).copied()
    }

    pub(crate) fn peer(&mut self, index: usize) -> Option<&mut Peer> {
        match self.slots.get_mut(index) {
            Some(Slot::Peer(peer)) => Some(peer),
            _ => None,
        }
    }

    /// Forgets what is in a place.
    pub(crate) fn remove(&mut self, index: usize, poller: &Poller) {
        let Some(place) = self.slots.get_mut(index) else {
            return;
        };
        match std::mem::replace(place, Slot::Free) {
            Slot::Free => return,
            Slot::Greeting(socket, _) => {
                let _ = poller.forget(&socket);
            }
            Slot::Peer(peer) => {
                peer.forget(poller);
                if !peer.detached {
                    self.by_ports.remove(&peer.ports);
                }
                self.stalled = self.stalled.saturating_sub(peer.counted);
                if peer.control_queued {
                    self.control.retain(|queued| *queued != index);
                }
                if peer.read_queued {
                    self.readers.retain(|queued| *queued != index);
                }
            }
        }
        self.free.push(index);
    }

    /// Forgets a connection and tells the guest so.
    pub(crate) fn reset(&mut self, index: usize, poller: &Poller) {
        if let Some((ports, false)) = self.peer(index).map(|peer| (peer.ports, peer.detached)) {
            self.push_reset(ports);
        }
        self.remove(index, poller);
    }

    /// The guest forgot a connection. It is kept without its ports as long as bytes wait for the host program.
    pub(crate) fn detach(&mut self, index: usize, poller: &Poller) {
        let Some(Slot::Peer(peer)) = self.slots.get_mut(index) else {
            return;
        };
        if peer.stalled() == 0 {
            return self.remove(index, poller);
        }
        peer.connection.guest_gone();
        peer.detached = true;
        self.by_ports.remove(&peer.ports);
    }

    /// Counts the bytes that wait for this connection's host program.
    pub(crate) fn count_stalled(&mut self, index: usize) {
        let Some(Slot::Peer(peer)) = self.slots.get_mut(index) else {
            return;
        };
        let stalled = peer.stalled();
        self.stalled = (self.stalled + stalled).saturating_sub(peer.counted);
        peer.counted = stalled;
    }

    pub(crate) fn push_reset(&mut self, ports: Ports) {
        if self.resets.len() < MAX_RESETS {
            self.resets.push_back(ports);
        }
    }

    /// A host port that no connection to this guest port has.
    pub(crate) fn host_port(&mut self, guest: u32) -> u32 {
        loop {
            let host = self.next_port;
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.by_ports.contains_key(&Ports { guest, host }) {
                return host;
            }
        }
    }

    /// Queues the connection if it has a packet due.
    pub(crate) fn queue_control(&mut self, index: usize) {
        let Some(Slot::Peer(peer)) = self.slots.get_mut(index) else {
            return;
        };
        if !peer.control_queued && peer.connection.due().is_some() {
            peer.control_queued = true;
            self.control.push_back(index);
        }
    }

    /// Queues the connection for a read if its socket may have bytes and the guest can take them.
    pub(crate) fn queue_read(&mut self, index: usize) {
        let Some(Slot::Peer(peer)) = self.slots.get_mut(index) else {
            return;
        };
        if peer.readable && !peer.read_queued && peer.socket.is_some() && peer.connection.window() > 0 {
            peer.read_queued = true;
            self.readers.push_back(index);
        }
    }

    /// The next packet without payload for the guest, without taking it.
    pub(crate) fn next_control(&mut self) -> Option<(Header, Option<(usize, Operation)>)> {
        if let Some(ports) = self.resets.front() {
            return Some((header(*ports, Operation::Reset), None));
        }
        while let Some(index) = self.control.front().copied() {
            if let Some(Slot::Peer(peer)) = self.slots.get_mut(index) {
                if let Some((operation, flags)) = peer.connection.due() {
                    let mut header = header(peer.ports, operation);
                    header.flags = flags;
                    (header.buffer_size, header.forwarded) = peer.connection.credit();
                    return Some((header, Some((index, operation))));
                }
                peer.control_queued = false;
            }
            self.control.pop_front();
        }
        None
    }

    /// The packet that [`Table::next_control`] named has gone.
    pub(crate) fn control_went(&mut self, packet: Option<(usize, Operation)>) {
        match packet {
            None => {
                self.resets.pop_front();
            }
            Some((index, operation)) => {
                if let Some(peer) = self.peer(index) {
                    peer.connection.told(operation);
                }
            }
        }
    }

    /// Takes the next connection to read from.
    pub(crate) fn next_reader(&mut self) -> Option<usize> {
        let index = self.readers.pop_front()?;
        if let Some(peer) = self.peer(index) {
            peer.read_queued = false;
        }
        Some(index)
    }

    /// Puts a connection that could not be read from back to the front.
    pub(crate) fn unread(&mut self, index: usize) {
        if let Some(Slot::Peer(peer)) = self.slots.get_mut(index) {
            peer.read_queued = true;
            self.readers.push_front(index);
        }
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Whether packets wait for buffers of the guest.
    pub(crate) fn work_for_guest(&self) -> bool {
        !self.readers.is_empty() || !self.control.is_empty() || !self.resets.is_empty()
    }
}

/// A packet from the host for a connection; the addresses are filled in when it goes.
pub(crate) fn header(ports: Ports, operation: Operation) -> Header {
    Header {
        source_cid: HOST_CID,
        source_port: ports.host,
        destination_port: ports.guest,
        kind: STREAM,
        operation: operation as u16,
        ..Header::default()
    }
}
