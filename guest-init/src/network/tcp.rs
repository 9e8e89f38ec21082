//! DNS over TCP (RFC 1035, section 4.2.2; RFC 7766): before every message its length in two bytes, any number of queries
//! on one connection, and their answers in the same order.
//!
//! A connection holds one query and one answer. As long as the answer is not taken nothing more is read, so that a client
//! that does not read cannot make this process grow.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// The longest query that is read, in bytes.
pub(super) const LONGEST_QUERY: usize = 1500;
/// Steps before others have their turn.
const TURN: usize = 64;
/// Bytes that are read at a time.
const CHUNK: usize = 2048;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Readable,
    Writable,
    /// Nothing more: it is over.
    Nothing,
}

/// A client that is connected.
#[derive(Debug)]
pub(super) struct Connection {
    /// Non-blocking.
    socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output is sent.
    sent: usize,
    input_ended: bool,
    /// Queries that were read whole.
    queries: u64,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            input_ended: false,
            queries: 0,
        }
    }

    /// How many queries were read whole.
    pub(super) fn queries(&self) -> u64 {
        self.queries
    }

    /// Does all that can be done without waiting, up to a turn's number of steps. `answer` gives the answer to a query;
    /// what has none is no query, and the end of the connection.
    pub(super) fn advance(&mut self, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Next {
        for _ in 0..TURN {
            match self.flush() {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Next::Writable,
                Err(_) => return Next::Nothing,
            }
            match message(&self.input) {
                Some(query) if query.len() > LONGEST_QUERY => return Next::Nothing,
                Some(query) => {
                    let Some(framed) = answer(query).as_deref().and_then(framed) else {
                        return Next::Nothing;
                    };
                    let used = query.len().saturating_add(2);
                    self.input.drain(..used);
                    self.output = framed;
                    self.sent = 0;
                    self.queries = self.queries.saturating_add(1);
                    continue;
                }
                None if self.input_ended || self.is_too_long() => return Next::Nothing,
                None => {}
            }
            let mut chunk = [0; CHUNK];
            match recv(&self.socket, chunk.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.input_ended = true,
                Ok((length, _)) => self.input.extend(chunk.iter().take(length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Next::Readable,
                Err(_) => return Next::Nothing,
            }
        }
        // There is room to write, so it has its next turn at once, also if all there is to read has been read.
        Next::Writable
    }

    fn flush(&mut self) -> Result<(), Errno> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match send(&self.socket, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(())
    }

    /// Whether the query on its way says that it is longer than any that is read.
    fn is_too_long(&self) -> bool {
        length(&self.input).is_some_and(|length| length > LONGEST_QUERY)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The length of the first message.
fn length(bytes: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.first_chunk::<2>()?)))
}

/// The first message, if all of it is there.
fn message(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(2..length(bytes)?.checked_add(2)?)
}

/// A message with its length before it.
fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?;
    let mut bytes = Vec::with_capacity(message.len().saturating_add(2));
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::io::{read, write};
    use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

    use super::*;

    fn pair() -> (Connection, OwnedFd) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (ours, client) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        (Connection::new(ours), client)
    }

    /// Answers with the query backwards; one that begins with a zero is none.
    fn backwards(query: &[u8]) -> Option<Vec<u8>> {
        (query.first() != Some(&0)).then(|| query.iter().rev().copied().collect())
    }

    fn everything(client: &OwnedFd) -> Vec<u8> {
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = read(client, &mut bytes) {
            all.extend(&bytes[..count]);
        }
        all
    }

    #[test]
    fn several_queries_of_one_connection_are_answered_in_order() {
        let (mut connection, client) = pair();
        write(&client, b"\0\x03abc\0\x02de").unwrap();
        assert_eq!(connection.advance(backwards), Next::Readable);
        assert_eq!(everything(&client), b"\0\x03cba\0\x02ed");
        assert_eq!(connection.queries(), 2);
    }

    #[test]
    fn a_client_that_ends_its_side_still_gets_its_answer() {
        let (mut connection, client) = pair();
        write(&client, b"\0\x01x").unwrap();
        shutdown(&client, Shutdown::Write).unwrap();
        assert_eq!(connection.advance(backwards), Next::Nothing);
        assert_eq!(everything(&client), b"\0\x01x");
    }

    #[test]
    fn a_query_that_is_too_long_or_none_ends_the_connection() {
        let (mut connection, client) = pair();
        write(&client, &2000u16.to_be_bytes()).unwrap();
        assert_eq!(connection.advance(backwards), Next::Nothing);
        let (mut connection, client) = pair();
        write(&client, b"\0\x01\0").unwrap();
        assert_eq!(connection.advance(backwards), Next::Nothing);
    }

    #[test]
    fn a_client_that_reads_nothing_is_read_from_no_further() {
        let (mut connection, client) = pair();
        let mut query = vec![7; 1400];
        query.splice(..0, 1400u16.to_be_bytes());
        let mut written = 0usize;
        for _ in 0..10_000 {
            match write(&client, &query) {
                Ok(count) if count == query.len() => written += count,
                _ => break,
            }
            if connection.advance(backwards) == Next::Writable && connection.sent < connection.output.len() {
                break;
            }
        }
        assert_eq!(connection.advance(backwards), Next::Writable);
        assert!(connection.input.len() <= CHUNK + LONGEST_QUERY && written > query.len());
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_the_answers_are_the_same(
            queries in proptest::collection::vec(proptest::collection::vec(1u8.., 1..60), 1..6),
            cut in 1usize..40,
        ) {
            let (mut connection, client) = pair();
            let stream: Vec<u8> = queries.iter().flat_map(|query| framed(query).unwrap()).collect();
            for part in stream.chunks(cut) {
                write(&client, part).unwrap();
                prop_assert_eq!(connection.advance(backwards), Next::Readable);
            }
            let expected: Vec<u8> = queries
                .iter()
                .flat_map(|query| framed(&backwards(query).unwrap()).unwrap())
                .collect();
            prop_assert_eq!(everything(&client), expected);
        }

        #[test]
        fn no_stream_makes_the_reader_fail_or_grow(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let (mut connection, client) = pair();
            write(&client, &bytes).unwrap();
            connection.advance(backwards);
            prop_assert!(connection.input.len() <= CHUNK + LONGEST_QUERY + 2);
        }
    }
}
