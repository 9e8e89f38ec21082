//! One connection's state, without any I/O (virtio 1.3, section 5.10.6).
//!
//! Each side tells the other how many bytes it can hold (`buf_alloc`) and how many it has passed on so far
//! (`fwd_cnt`); the difference to what was sent is the *credit*. Here the guest's bytes wait in a buffer of
//! [`BUFFER_SIZE`] only when the host program does not take them, and the host program's bytes stay in its socket
//! until the guest has credit for them, so nothing grows.
//!
//! The two directions end one by one with SHUTDOWN, as with shutdown(2); RST ends both and forgets the connection.

use super::packet::{Header, NO_MORE_RECEIVING, NO_MORE_SENDING, Operation};

/// Bytes that the guest may send ahead of what the host program took.
pub(crate) const BUFFER_SIZE: u32 = 512 << 10;
/// The guest is told of room again when this much was passed on since it was told last.
const ANNOUNCE_AFTER: u32 = BUFFER_SIZE / 2;

/// Who still has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The host program asked; the guest has not answered.
    Asked,
    Open,
}

/// What a packet from the guest means for the host's side of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing but, perhaps, more credit.
    Nothing,
    /// The guest agreed to the connection.
    Opened,
    /// The payload goes to the host program.
    Data,
    /// The guest ended one or both directions.
    Shutdown,
    /// The guest ended the connection; there is nothing to answer.
    Gone,
    /// The guest broke the protocol; answer with RST and forget the connection.
    Violation,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    /// Bytes from the guest, and of those, bytes that went to the host program or were dropped for it. Modulo 2^32,
    /// as is every count here.
    received: u32,
    forwarded: u32,
    /// The count of forwarded bytes that the guest knows.
    announced: u32,
    /// Bytes to the guest.
    sent: u32,
    guest_buffer: u32,
    guest_forwarded: u32,
    guest_sends: bool,
    guest_receives: bool,
    host_sends: bool,
    host_receives: bool,
    /// The first packet of the connection: REQUEST or RESPONSE.
    opening: Option<Operation>,
    /// The ends of directions that the guest has not been told.
    shutdown: bool,
    credit_update: bool,
}

impl Connection {
    /// A connection that the guest asked for and the host accepted. A RESPONSE is due.
    pub(crate) fn accepted(request: &Header) -> Self {
        let mut connection = Self::new(Phase::Open, Operation::Response);
        connection.take_credit(request);
        connection
    }

    /// A connection that the host asks for. A REQUEST is due.
    pub(crate) fn asked() -> Self {
        Self::new(Phase::Asked, Operation::Request)
    }

    fn new(phase: Phase, opening: Operation) -> Self {
        Self {
            phase,
            received: 0,
            forwarded: 0,
            announced: 0,
            sent: 0,
            guest_buffer: 0,
            guest_forwarded: 0,
            guest_sends: true,
            guest_receives: true,
            host_sends: true,
            host_receives: true,
            opening: Some(opening),
            shutdown: false,
            credit_update: false,
        }
    }

    fn take_credit(&mut self, header: &Header) {
        self.guest_buffer = header.buffer_size;
        self.guest_forwarded = header.forwarded;
    }

    /// Takes a packet for this connection, whose payload is `length` bytes.
    pub(crate) fn packet(&mut self, operation: Operation, header: &Header, length: usize) -> Reaction {
        self.take_credit(header);
        match (operation, self.phase) {
            (Operation::Reset, _) => Reaction::Gone,
            (Operation::Response, Phase::Asked) if self.opening.is_none() => {
                self.phase = Phase::Open;
                Reaction::Opened
            }
            (Operation::Data, Phase::Open) => self.data(length),
            (Operation::Shutdown, Phase::Open) => {
                self.guest_sends &= header.flags & NO_MORE_SENDING == 0;
                self.guest_receives &= header.flags & NO_MORE_RECEIVING == 0;
                Reaction::Shutdown
            }
            (Operation::CreditUpdate, Phase::Open) => Reaction::Nothing,
            (Operation::CreditRequest, Phase::Open) => {
                self.credit_update = true;
                Reaction::Nothing
            }
            _ => Reaction::Violation,
        }
    }

    fn data(&mut self, length: usize) -> Reaction {
        let room = BUFFER_SIZE - self.buffered();
        match u32::try_from(length) {
            Ok(length) if self.guest_sends && length <= room => {
                self.received = self.received.wrapping_add(length);
                Reaction::Data
            }
            _ => Reaction::Violation,
        }
    }

    /// Bytes from the guest that were not passed on yet; at most [`BUFFER_SIZE`].
    pub(crate) fn buffered(&self) -> u32 {
        self.received.wrapping_sub(self.forwarded)
    }

    /// `count` of the buffered bytes went to the host program.
    pub(crate) fn forwarded(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.buffered());
        self.forwarded = self.forwarded.wrapping_add(count);
        if self.guest_sends && self.forwarded.wrapping_sub(self.announced) >= ANNOUNCE_AFTER {
            self.credit_update = true;
        }
    }

    /// Bytes that may go to the guest now.
    pub(crate) fn window(&self) -> usize {
        if self.phase == Phase::Asked || !self.wants_host_data() {
            return 0;
        }
        let in_flight = self.sent.wrapping_sub(self.guest_forwarded);
        self.guest_buffer.saturating_sub(in_flight) as usize
    }

    /// Whether the host program's bytes still have a taker.
    pub(crate) fn wants_host_data(&self) -> bool {
        self.guest_receives && self.host_sends
    }

    /// `count` bytes, at most [`Connection::window`], went to the guest.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent = self.sent.wrapping_add(count as u32);
    }

    /// The host program will send no more.
    pub(crate) fn host_ended(&mut self) {
        self.shutdown |= self.host_sends;
        self.host_sends = false;
    }

    /// The host program is gone: it neither sends nor receives.
    pub(crate) fn host_gone(&mut self) {
        self.shutdown |= self.host_sends || self.host_receives;
        self.host_sends = false;
        self.host_receives = false;
    }

    /// The guest forgot the connection; what it sent before still goes to the host program.
    pub(crate) fn guest_gone(&mut self) {
        self.guest_sends = false;
        self.guest_receives = false;
        self.opening = None;
        self.shutdown = false;
        self.credit_update = false;
    }

    /// Whether the guest has ended the direction to the host.
    pub(crate) fn guest_ended(&self) -> bool {
        !self.guest_sends
    }

    /// Whether the guest has ended the direction from the host.
    pub(crate) fn guest_deaf(&self) -> bool {
        !self.guest_receives
    }

    /// Whether the guest has ended both directions and all its bytes are passed on: answer with RST and forget it.
    pub(crate) fn finished(&self) -> bool {
        !self.guest_sends && !self.guest_receives && self.buffered() == 0
    }

    /// The next packet without payload that is due, with its flags.
    pub(crate) fn due(&self) -> Option<(Operation, u32)> {
        if let Some(opening) = self.opening {
            Some((opening, 0))
        } else if self.phase == Phase::Asked {
            None
        } else if self.shutdown {
            let mut flags = 0;
            flags |= if self.host_sends { 0 } else { NO_MORE_SENDING };
            flags |= if self.host_receives { 0 } else { NO_MORE_RECEIVING };
            Some((Operation::Shutdown, flags))
        } else {
            self.credit_update.then_some((Operation::CreditUpdate, 0))
        }
    }

    /// What every packet to the guest says of the room here: buffer size and bytes passed on.
    pub(crate) fn credit(&self) -> (u32, u32) {
        (BUFFER_SIZE, self.forwarded)
    }

    /// A packet went to the guest, with the present credit.
    pub(crate) fn told(&mut self, operation: Operation) {
        self.announced = self.forwarded;
        self.credit_update = false;
        if self.opening == Some(operation) {
            self.opening = None;
        }
        if operation == Operation::Shutdown {
            self.shutdown = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(flags: u32, buffer_size: u32, forwarded: u32) -> Header {
        Header {
            flags,
            buffer_size,
            forwarded,
            ..Header::default()
        }
    }

    fn open() -> Connection {
        let mut connection = Connection::accepted(&header(0, 1000, 0));
        assert_eq!(connection.due(), Some((Operation::Response, 0)));
        connection.told(Operation::Response);
        connection
    }

    #[test]
    fn a_guest_that_sends_more_than_its_credit_breaks_the_protocol() {
        let mut connection = open();
        let full = BUFFER_SIZE as usize;
        assert_eq!(
            connection.packet(Operation::Data, &header(0, 1000, 0), full),
            Reaction::Data
        );
        assert_eq!(
            connection.packet(Operation::Data, &header(0, 1000, 0), 1),
            Reaction::Violation
        );
    }

    #[test]
    fn credit_is_announced_once_half_of_the_buffer_was_passed_on() {
        let mut connection = open();
        let half = ANNOUNCE_AFTER as usize;
        connection.packet(Operation::Data, &header(0, 1000, 0), half);
        connection.forwarded(half - 1);
        assert_eq!(connection.due(), None);
        connection.forwarded(1);
        assert_eq!(connection.due(), Some((Operation::CreditUpdate, 0)));
        connection.told(Operation::CreditUpdate);
        assert_eq!(connection.due(), None);
    }

    #[test]
    fn the_window_is_what_the_guest_has_room_for() {
        let mut connection = open();
        assert_eq!(connection.window(), 1000);
        connection.sent(900);
        assert_eq!(connection.window(), 100);
        connection.packet(Operation::CreditUpdate, &header(0, 1000, 900), 0);
        assert_eq!(connection.window(), 1000);
    }

    #[test]
    fn a_guest_that_shrinks_its_buffer_gets_nothing_rather_than_too_much() {
        let mut connection = open();
        connection.sent(900);
        connection.packet(Operation::CreditUpdate, &header(0, 10, 0), 0);
        assert_eq!(connection.window(), 0);
    }

    #[test]
    fn the_end_of_one_direction_leaves_the_other_open() {
        let mut connection = open();
        connection.host_ended();
        assert_eq!(connection.due(), Some((Operation::Shutdown, NO_MORE_SENDING)));
        connection.told(Operation::Shutdown);
        assert_eq!(
            connection.packet(Operation::Data, &header(0, 1000, 0), 5),
            Reaction::Data
        );
        connection.host_gone();
        assert_eq!(
            connection.due(),
            Some((Operation::Shutdown, NO_MORE_SENDING | NO_MORE_RECEIVING))
        );
    }

    #[test]
    fn a_guest_that_ended_both_directions_is_finished_when_its_bytes_are_passed_on() {
        let mut connection = open();
        connection.packet(Operation::Data, &header(0, 1000, 0), 5);
        let both = NO_MORE_SENDING | NO_MORE_RECEIVING;
        assert_eq!(
            connection.packet(Operation::Shutdown, &header(both, 1000, 0), 0),
            Reaction::Shutdown
        );
        assert!(!connection.finished());
        connection.forwarded(5);
        assert!(connection.finished());
    }

    #[test]
    fn data_after_the_end_of_its_direction_breaks_the_protocol() {
        let mut connection = open();
        connection.packet(Operation::Shutdown, &header(NO_MORE_SENDING, 1000, 0), 0);
        assert_eq!(
            connection.packet(Operation::Data, &header(0, 1000, 0), 1),
            Reaction::Violation
        );
    }

    #[test]
    fn nothing_goes_to_a_guest_that_has_not_answered() {
        let mut connection = Connection::asked();
        assert_eq!(connection.due(), Some((Operation::Request, 0)));
        assert_eq!(
            connection.packet(Operation::Response, &header(0, 9, 0), 0),
            Reaction::Violation
        );
        connection.told(Operation::Request);
        assert_eq!(connection.window(), 0);
        assert_eq!(
            connection.packet(Operation::Response, &header(0, 9, 0), 0),
            Reaction::Opened
        );
        assert_eq!(connection.window(), 9);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Packet {
            operation: u16,
            flags: u32,
            buffer_size: u32,
            forwarded: u32,
            length: usize,
        },
        Forward(usize),
        Send(usize),
        Tell,
        HostEnded,
        HostGone,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1u16..8, 0u32..4, any::<u32>(), any::<u32>(), 0usize..200_000).prop_map(
                |(operation, flags, buffer_size, forwarded, length)| Step::Packet {
                    operation,
                    flags,
                    buffer_size,
                    forwarded,
                    length,
                }
            ),
            (0usize..300_000).prop_map(Step::Forward),
            (0usize..100_000).prop_map(Step::Send),
            Just(Step::Tell),
            Just(Step::HostEnded),
            Just(Step::HostGone),
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_guest_sends_the_buffer_stays_within_its_bound(
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let mut connection = open();
            for step in steps {
                match step {
                    Step::Packet { operation, flags, buffer_size, forwarded, length } => {
                        let operation = Operation::from_code(operation).unwrap();
                        connection.packet(operation, &header(flags, buffer_size, forwarded), length);
                    }
                    Step::Forward(count) => connection.forwarded(count),
                    Step::Send(count) => connection.sent(count.min(connection.window())),
                    Step::Tell => if let Some((operation, _)) = connection.due() { connection.told(operation) },
                    Step::HostEnded => connection.host_ended(),
                    Step::HostGone => connection.host_gone(),
                }
                prop_assert!(connection.buffered() <= BUFFER_SIZE);
                prop_assert!(connection.window() <= connection.guest_buffer as usize);
            }
        }

        #[test]
        fn telling_what_is_due_ends(steps in prop::collection::vec(step(), 0..60)) {
            let mut connection = open();
            for step in steps {
                if let Step::Packet { operation, flags, buffer_size, forwarded, length } = step {
                    let operation = Operation::from_code(operation).unwrap();
                    connection.packet(operation, &header(flags, buffer_size, forwarded), length);
                }
            }
            connection.host_gone();
            for _ in 0..3 {
                if let Some((operation, _)) = connection.due() {
                    connection.told(operation);
                }
            }
            prop_assert_eq!(connection.due(), None);
        }
    }
}
