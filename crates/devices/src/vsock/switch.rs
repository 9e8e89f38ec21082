//! The worker: one thread that moves packets between the queues and the sockets.

use std::io;
use std::time::Duration;

use socket2::Socket;

use super::connection::Connection;
use super::host::{Folder, Greeted, Greeting};
use super::peer::{Peer, Ports};
use super::receive::Batch;
use super::table::{Slot, Table};
use super::transmit::Run;
use crate::device::Activation;
use crate::queue::QueueError;
use crate::sys::Ready;
use crate::sys::poll::{Poller, Reports, interest};
use crate::sys::socket::{self, Scratch};
use crate::worker::{Line, Stop, attach};

const RECEIVE_QUEUE: usize = 0;
const TRANSMIT_QUEUE: usize = 1;
/// Keys of the poller: the queues' kicks, then these, then the connections.
const STOP: usize = 3;
const LISTENER: usize = 4;
const FIRST_CONNECTION: usize = 5;
/// How long the guest waits to be told that packets of its were taken. It has no use for their buffers, and every time
/// that it is told wakes a thread of its kernel to free them. So a program that sends a little and waits for the
/// answer is told once for many packets.
const TRANSMIT_DELAY: Duration = Duration::from_millis(1);
/// Reads from each connection before the guest's packets are looked at again.
const READ_ROUNDS: usize = 4;

/// The connections of one guest.
pub(crate) struct Switch {
    pub(super) guest_cid: u64,
    pub(super) folder: Folder,
    pub(super) poller: Poller,
    pub(super) table: Table,
    pub(super) scratch: Scratch,
}

/// Serves the device until `stop`.
pub(super) fn run(
    guest_cid: u64,
    folder: Folder,
    listener: &Socket,
    activation: &Activation,
    poller: Poller,
    stop: &Stop,
) -> io::Result<()> {
    let mut switch = Switch::new(guest_cid, folder, poller);
    for (index, queue) in activation.queues.iter().enumerate() {
        queue.kick.watch(&switch.poller, index)?;
    }
    stop.event.watch(&switch.poller, STOP)?;
    switch.poller.watch(listener, LISTENER, interest(true, false))?;
    let line = |index: usize| {
        activation
            .queues
            .get(index)
            .and_then(|queue| attach("vsock", queue, &activation.memory))
    };
    let served = match (line(RECEIVE_QUEUE), line(TRANSMIT_QUEUE)) {
        (Some(receive), Some(mut transmit)) => {
            let served = switch.serve(receive, &mut transmit, listener, activation, stop);
            // A device that goes on later starts from what the driver was shown.
            transmit.publish();
            served
        }
        // The guest set nothing up; it can only reset the device.
        _ => stop.event.wait(),
    };
    let _ = switch.poller.forget(listener);
    served
}

impl Switch {
    pub(crate) fn new(guest_cid: u64, folder: Folder, poller: Poller) -> Self {
        Self {
            guest_cid,
            folder,
            poller,
            table: Table::new(),
            scratch: Scratch::default(),
        }
    }

    fn serve<'m>(
        &mut self,
        mut receive: Line<'m>,
        transmit: &mut Line<'m>,
        listener: &Socket,
        activation: &Activation,
        stop: &Stop,
    ) -> io::Result<()> {
        let mut reports = Reports::default();
        let (mut run, mut batch) = (Run::default(), Batch::default());
        self.accept(listener);
        while !stop.asked() {
            let turn = self.turn(&mut receive, transmit, &mut run, &mut batch);
            let more = match turn {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(%error, "the guest broke a queue of its vsock device");
                    return stop.event.wait();
                }
            };
            let timeout = if more {
                Some(Duration::ZERO)
            } else {
                transmit.owes().then_some(TRANSMIT_DELAY)
            };
            let mut quiet = !more;
            for ready in self.poller.wait(&mut reports, timeout)? {
                quiet = false;
                match ready.key {
                    STOP => return Ok(()),
                    LISTENER => self.accept(listener),
                    key if key < STOP => {
                        if let Some(queue) = activation.queues.get(key) {
                            queue.kick.acknowledge(&self.poller);
                        }
                    }
                    key => self.socket_event(key - FIRST_CONNECTION, ready),
                }
            }
            if quiet {
                transmit.publish();
            }
        }
        Ok(())
    }

    /// Does what there is to do in both directions; `true` says that there is more.
    fn turn<'m>(
        &mut self,
        receive: &mut Line<'m>,
        transmit: &mut Line<'m>,
        run: &mut Run<'m>,
        batch: &mut Batch<'m>,
    ) -> Result<bool, QueueError> {
        transmit.ring.disable_kicks();
        let sent = self.transmit(transmit, run);
        transmit.publish_lazily();
        sent?;
        let mut starved = false;
        for _ in 0..READ_ROUNDS {
            let result = self.receive(receive, batch);
            if receive.publish() {
                transmit.interrupted();
            }
            starved = result?;
            if starved || !self.table.work_for_guest() {
                break;
            }
        }
        let more_to_send = transmit.ring.enable_kicks()?;
        let more_to_receive = if starved {
            receive.ring.enable_kicks()?
        } else {
            receive.ring.disable_kicks();
            self.table.work_for_guest()
        };
        Ok(more_to_send || more_to_receive)
    }

    /// Handles everything that is available on the two queues once, without waiting for sockets.
    #[cfg(any(test, feature = "hostile"))]
    pub(crate) fn turn_once(
        &mut self,
        receive: &mut Line<'_>,
        transmit: &mut Line<'_>,
    ) -> Result<bool, QueueError> {
        // The lines may come from different borrows of the same memory.
        let mut run = Run::default();
        transmit.ring.disable_kicks();
        let sent = self.transmit(transmit, &mut run);
        transmit.publish();
        sent?;
        let mut batch = Batch::default();
        let starved = self.receive(receive, &mut batch)?;
        receive.publish();
        Ok(!starved && self.table.work_for_guest())
    }

    /// Takes host programs that want to reach the guest.
    fn accept(&mut self, listener: &Socket) {
        while let Ok((socket, _)) = listener.accept() {
            if self.table.full() || socket.set_nonblocking(true).is_err() {
                continue;
            }
            let index = self.table.insert(Slot::Greeting(socket, Greeting::default()));
            let Some(Slot::Greeting(socket, _)) = self.table.slot(index) else {
                continue;
            };
            if let Err(error) = self
                .poller
                .watch(socket, index + FIRST_CONNECTION, interest(true, false))
            {
                tracing::warn!(%error, "cannot watch a connection to the guest");
                self.table.remove(index, &self.poller);
                continue;
            }
            self.greet(index);
        }
    }

    /// Reads a host program's first line.
    fn greet(&mut self, index: usize) {
        let Some(Slot::Greeting(socket, greeting)) = self.table.slot(index) else {
            return;
        };
        match greeting.read(&*socket) {
            Greeted::Partly => {}
            Greeted::Wrong => self.table.remove(index, &self.poller),
            Greeted::Port(guest) => {
                let host = self.table.host_port(guest);
                let Some(slot) = self.table.slot(index) else {
                    return;
                };
                if let Slot::Greeting(socket, _) = std::mem::replace(slot, Slot::Free) {
                    let peer = Peer::new(Ports { guest, host }, Connection::asked(), socket, true);
                    self.table.replace(index, Slot::Peer(Box::new(peer)));
                    self.settle(index);
                }
            }
        }
    }

    /// The guest agreed to a connection that a host program asked for.
    pub(super) fn opened(&mut self, index: usize) {
        let Some(peer) = self.table.peer(index) else {
            return;
        };
        let answer = format!("OK {}\n", peer.ports.host);
        let sent = peer
            .socket
            .as_ref()
            .map(|socket| socket.send_with_flags(answer.as_bytes(), socket::SEND_FLAGS));
        // A new socket has room for a line.
        if !matches!(sent, Some(Ok(count)) if count == answer.len()) {
            peer.lose_host(&self.poller);
        }
        peer.greeted = false;
        // What followed the greeting was not read.
        peer.readable = true;
        self.settle(index);
    }

    /// Starts to watch a new connection.
    pub(super) fn watch(&mut self, index: usize) {
        let Some(peer) = self.table.peer(index) else {
            return;
        };
        match peer.watch(&self.poller, index + FIRST_CONNECTION) {
            Ok(()) => self.settle(index),
            Err(error) => {
                tracing::warn!(%error, "cannot watch a connection of the guest");
                self.table.reset(index, &self.poller);
            }
        }
    }

    /// Queues what is due after a connection changed, and forgets one that is finished.
    pub(super) fn settle(&mut self, index: usize) {
        let Some(peer) = self.table.peer(index) else {
            return;
        };
        if peer.connection.finished() {
            return self.table.reset(index, &self.poller);
        }
        peer.rewatch(&self.poller, index + FIRST_CONNECTION);
        self.table.count_stalled(index);
        self.table.queue_read(index);
        self.table.queue_control(index);
    }

    fn socket_event(&mut self, index: usize, ready: Ready) {
        let peer = match self.table.slot(index) {
            Some(Slot::Peer(peer)) => peer,
            Some(Slot::Greeting(..)) => return self.greet(index),
            _ => return,
        };
        peer.hung_up |= ready.gone;
        peer.ending |= ready.ended;
        peer.readable |= ready.readable;
        if ready.writable && peer.stalled() > 0 {
            peer.flush(&self.poller);
        }
        if peer.hung_up && peer.greeted {
            // The host program did not wait for the guest's answer.
            return self.table.reset(index, &self.poller);
        }
        if peer.hung_up && !peer.connection.wants_host_data() {
            peer.lose_host(&self.poller);
        }
        self.settle(index);
    }
}
