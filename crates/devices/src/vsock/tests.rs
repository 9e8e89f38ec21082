//! What a guest and host programs see of each other.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use proptest::prelude::*;
use vm_memory::GuestMemoryMmap;

use super::connection::BUFFER_SIZE;
use super::packet::{HEADER_SIZE, HOST_CID, Header, NO_MORE_RECEIVING, NO_MORE_SENDING, Operation, STREAM};
use super::*;
use crate::device::{ActiveQueue, Interrupt};
use crate::queue::testing::{Buffer, Driver, memory};
use crate::worker::testing::Bell;
use crate::{Event, Queue};

const CID: u64 = 3;
const BUFFERS: u16 = 16;
const BUFFER: usize = 4096;

struct Ringer(Event);

impl Interrupt for Ringer {
    fn trigger(&self) {
        self.0.signal();
    }
}

/// A guest's driver of the device.
struct Guest {
    folder: tempfile::TempDir,
    device: Vsock,
    receive: Driver,
    transmit: Driver,
    kicks: [Event; 2],
    interrupt: Event,
    arrived: std::collections::VecDeque<(Header, Vec<u8>)>,
}

impl Guest {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = memory();
        let mut device = Vsock::new(CID, folder.path()).unwrap();
        let mut receive = Driver::in_part(&memory, BUFFERS, 0);
        let transmit = Driver::in_part(&memory, BUFFERS, 1);
        for _ in 0..BUFFERS {
            receive.offer(&[Buffer::writable(BUFFER)]);
        }
        let interrupt = Event::new().unwrap();
        let kicks = [Event::new().unwrap(), Event::new().unwrap()];
        let queue = |queue: Queue, kick: &Event| ActiveQueue {
            queue,
            kick: kick.try_clone().unwrap(),
            interrupt: Arc::new(Ringer(interrupt.try_clone().unwrap())),
        };
        let queues = vec![
            queue(receive.queue(), &kicks[0]),
            queue(transmit.queue(), &kicks[1]),
            queue(Queue::new(16), &Event::new().unwrap()),
        ];
        let config_interrupt = Arc::new(Bell::default());
        device
            .activate(Activation {
                memory,
                features: device.features(),
                queues,
                config_interrupt,
            })
            .unwrap();
        Self {
            folder,
            device,
            receive,
            transmit,
            kicks,
            interrupt,
            arrived: Default::default(),
        }
    }

    fn send(&mut self, operation: Operation, ports: (u32, u32), flags: u32, payload: &[u8]) {
        let header = Header {
            source_cid: CID,
            destination_cid: HOST_CID,
            source_port: ports.0,
            destination_port: ports.1,
            length: payload.len() as u32,
            kind: STREAM,
            operation: operation as u16,
            flags,
            buffer_size: 1 << 20,
            forwarded: 0,
        };
        self.transmit
            .offer(&[Buffer::readable(&header.encode()), Buffer::readable(payload)]);
        self.kicks[1].signal();
        // The driver's buffers are used again soon, so wait until this packet was taken.
        while self.transmit.used().is_empty() {
            self.wait();
        }
    }

    fn wait(&mut self) {
        self.interrupt.wait().unwrap();
        self.interrupt.clear();
        for (descriptor, length) in self.receive.used() {
            let bytes = self.receive.buffer(descriptor, length as usize);
            let header = Header::decode(bytes[..HEADER_SIZE].try_into().unwrap());
            self.arrived.push_back((header, bytes[HEADER_SIZE..].to_vec()));
            self.receive.offer(&[Buffer::writable(BUFFER)]);
        }
        self.kicks[0].signal();
    }

    fn next(&mut self) -> (Operation, Header, Vec<u8>) {
        while self.arrived.is_empty() {
            self.wait();
        }
        let (header, payload) = self.arrived.pop_front().unwrap();
        (Operation::from_code(header.operation).unwrap(), header, payload)
    }

    fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.folder.path().join(format!("vsock_{port}"))).unwrap()
    }

    /// Connects guest port 1000 to host port 7.
    fn connect(&mut self) -> UnixStream {
        let listener = self.listen(7);
        self.send(Operation::Request, (1000, 7), 0, b"");
        assert_eq!(self.next().0, Operation::Response);
        listener.accept().unwrap().0
    }
}

#[test]
fn bytes_flow_in_both_directions() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    guest.send(Operation::Data, (1000, 7), 0, b"ping");
    let mut bytes = [0; 4];
    program.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    program.write_all(b"pong").unwrap();
    let (operation, header, payload) = guest.next();
    assert_eq!((operation, payload.as_slice()), (Operation::Data, &b"pong"[..]));
    assert_eq!((header.source_port, header.destination_port), (7, 1000));
    assert_eq!((header.buffer_size, header.forwarded), (BUFFER_SIZE, 4));
}

#[test]
fn a_port_that_nobody_serves_is_refused() {
    let mut guest = Guest::new();
    guest.send(Operation::Request, (1000, 99), 0, b"");
    assert_eq!(guest.next().0, Operation::Reset);
}

#[test]
fn a_packet_for_no_connection_is_answered_with_a_reset_and_a_reset_is_not() {
    let mut guest = Guest::new();
    guest.send(Operation::Reset, (1, 1), 0, b"");
    guest.send(Operation::Data, (1000, 99), 0, b"x");
    let (operation, header, _) = guest.next();
    assert_eq!(
        (operation, header.source_port, header.destination_port),
        (Operation::Reset, 99, 1000)
    );
}

#[test]
fn a_host_program_reaches_a_port_of_the_guest() {
    let mut guest = Guest::new();
    let mut program = UnixStream::connect(guest.folder.path().join("vsock")).unwrap();
    program.write_all(b"CONNECT 52\nearly").unwrap();
    let (operation, header, _) = guest.next();
    assert_eq!((operation, header.destination_port), (Operation::Request, 52));
    guest.send(Operation::Response, (52, header.source_port), 0, b"");
    let mut answer = vec![0; format!("OK {}\n", header.source_port).len()];
    program.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"OK "));
    let (operation, _, payload) = guest.next();
    assert_eq!((operation, payload.as_slice()), (Operation::Data, &b"early"[..]));
}

#[test]
fn a_host_program_whose_port_the_guest_refuses_reads_the_end() {
    let mut guest = Guest::new();
    let mut program = UnixStream::connect(guest.folder.path().join("vsock")).unwrap();
    program.write_all(b"CONNECT 52\n").unwrap();
    let (_, header, _) = guest.next();
    guest.send(Operation::Reset, (52, header.source_port), 0, b"");
    assert_eq!(program.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn the_end_of_the_host_s_bytes_leaves_the_guest_s_direction_open() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    program.write_all(b"last").unwrap();
    program.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(guest.next().2, b"last");
    let (operation, header, _) = guest.next();
    assert_eq!((operation, header.flags), (Operation::Shutdown, NO_MORE_SENDING));
    guest.send(Operation::Data, (1000, 7), 0, b"still");
    let mut bytes = [0; 5];
    program.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"still");
}

#[test]
fn the_end_of_the_guest_s_bytes_leaves_the_host_s_direction_open() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    guest.send(Operation::Data, (1000, 7), 0, b"last");
    guest.send(Operation::Shutdown, (1000, 7), NO_MORE_SENDING, b"");
    let mut text = String::new();
    program.read_to_string(&mut text).unwrap();
    assert_eq!(text, "last");
    program.write_all(b"still").unwrap();
    assert_eq!(guest.next().2, b"still");
}

#[test]
fn a_guest_that_ends_both_directions_is_answered_with_a_reset() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    guest.send(
        Operation::Shutdown,
        (1000, 7),
        NO_MORE_SENDING | NO_MORE_RECEIVING,
        b"",
    );
    assert_eq!(guest.next().0, Operation::Reset);
    assert_eq!(program.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_host_program_that_is_gone_ends_both_directions() {
    let mut guest = Guest::new();
    drop(guest.connect());
    let mut flags = 0;
    while flags != NO_MORE_SENDING | NO_MORE_RECEIVING {
        let (operation, header, _) = guest.next();
        assert_eq!(operation, Operation::Shutdown);
        flags = header.flags;
    }
}

#[test]
fn bytes_for_a_program_that_does_not_read_wait_within_the_credit_and_arrive_in_order() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    let mut sent = Vec::new();
    let chunk = 16 << 10;
    // The last announced count of forwarded bytes bounds what may be sent.
    let mut forwarded = 0;
    while sent.len() + chunk <= forwarded + BUFFER_SIZE as usize && sent.len() < 4 << 20 {
        let bytes: Vec<u8> = (0..chunk).map(|at| ((sent.len() + at) / 251) as u8).collect();
        guest.send(Operation::Data, (1000, 7), 0, &bytes);
        sent.extend(bytes);
        if let Some((header, _)) = guest.arrived.pop_back() {
            forwarded = header.forwarded as usize;
        }
    }
    // The socket itself took some, the rest waits in the device.
    assert!(sent.len() >= BUFFER_SIZE as usize);
    let mut got = vec![0; sent.len()];
    program.read_exact(&mut got).unwrap();
    assert!(got == sent);
}

#[test]
fn a_guest_that_exceeds_its_credit_is_reset() {
    let mut guest = Guest::new();
    let _program = guest.connect();
    for _ in 0..200 {
        guest.send(Operation::Data, (1000, 7), 0, &[0; 32 << 10]);
        let answer = guest.arrived.pop_back();
        if answer.is_some_and(|(header, _)| header.operation == Operation::Reset as u16) {
            return;
        }
    }
    panic!("200 packets were taken");
}

#[test]
fn what_was_sent_before_a_reset_still_reaches_a_slow_program() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    let bytes = vec![5; 32 << 10];
    for _ in 0..BUFFER_SIZE as usize / bytes.len() {
        guest.send(Operation::Data, (1000, 7), 0, &bytes);
    }
    guest.send(Operation::Reset, (1000, 7), 0, b"");
    let mut got = Vec::new();
    program.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), BUFFER_SIZE as usize);
}

#[test]
fn a_large_amount_reaches_the_guest_whole_and_in_order() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    let bytes: Vec<u8> = (0..900_000u32).map(|at| (at / 253) as u8).collect();
    let copy = bytes.clone();
    let writer = std::thread::spawn(move || program.write_all(&copy));
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        got.extend(guest.next().2);
    }
    assert!(got == bytes);
    writer.join().unwrap().unwrap();
}

#[test]
fn a_reset_of_the_device_ends_its_connections_and_it_starts_again() {
    let mut guest = Guest::new();
    let mut program = guest.connect();
    guest.device.reset();
    assert_eq!(program.read(&mut [0; 8]).unwrap(), 0);
    drop(guest);
}

fn packets() -> impl Strategy<Value = Vec<(u16, u32, u32, u32, u32, usize)>> {
    let packet = (0u16..10, 0u32..3, 0u32..3, 0u32..4, any::<u32>(), 0usize..3000);
    prop::collection::vec(packet, 1..40)
}

proptest! {
    #[test]
    fn arbitrary_packets_all_come_back(packets in packets(), scribble in any::<Option<[u8; 64]>>()) {
        let folder = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(folder.path().join("vsock_1")).unwrap();
        let memory: GuestMemoryMmap = memory();
        let mut receive = Driver::in_part(&memory, BUFFERS, 0);
        let mut transmit = Driver::in_part(&memory, BUFFERS, 1);
        let mut switch =
            switch::Switch::new(CID, Folder::new(folder.path()), Poller::new().unwrap());
        let line = |driver: &Driver| {
            crate::worker::Line::attach(&driver.queue(), &memory, Arc::new(Bell::default())).unwrap()
        };
        let (mut receive_line, mut transmit_line) = (line(&receive), line(&transmit));
        for (operation, guest, host, flags, credit, length) in packets {
            receive.offer(&[Buffer::writable(60 + length)]);
            let header = Header {
                source_cid: CID,
                destination_cid: HOST_CID,
                source_port: guest,
                destination_port: host,
                length: length as u32,
                kind: STREAM,
                operation,
                flags,
                buffer_size: credit,
                forwarded: credit / 2,
            };
            transmit.offer(&[Buffer::readable(&header.encode()), Buffer::Readable(vec![1; length])]);
            if let Some(bytes) = &scribble {
                transmit.scribble(bytes);
            }
            if switch.turn_once(&mut receive_line, &mut transmit_line).is_err() {
                return Ok(());
            }
            prop_assert_eq!(transmit.used().len(), 1);
            receive.used();
        }
    }
}
