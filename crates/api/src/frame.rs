//! Docker's multiplexed stream: how stdout and stderr share one connection when there is no terminal.
//!
//! Each frame opens with eight bytes: the stream's number (0 stdin, 1 stdout, 2 stderr, 3 an error of the
//! engine's own), three zero bytes, and the payload's length as a big-endian 32-bit number (Docker Engine API,
//! `POST /containers/{id}/attach`, "Stream format").

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The length of a frame's head in bytes.
pub const HEAD: usize = 8;
/// The longest payload that [`Decoder`] takes for a frame: an engine writes at most a read's worth, so a longer
/// one is a stream that is not framed at all.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// Which stream a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdin,
    Stdout,
    Stderr,
    /// The engine failed while the stream was open; the payload is its message.
    SystemError,
}

impl Stream {
    const fn number(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::SystemError => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Stdin),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::SystemError),
            _ => None,
        }
    }
}

/// The head that announces `length` bytes of `stream`.
pub fn head(stream: Stream, length: u32) -> [u8; HEAD] {
    let [a, b, c, d] = length.to_be_bytes();
    [stream.number(), 0, 0, 0, a, b, c, d]
}

/// `payload` as one frame; payloads beyond 4 GiB are split.
pub fn encode(stream: Stream, payload: &Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(payload.len().saturating_add(HEAD));
    for piece in payload.chunks(u32::MAX as usize) {
        framed.put_slice(&head(stream, u32::try_from(piece.len()).unwrap_or(u32::MAX)));
        framed.put_slice(piece);
    }
    framed.freeze()
}

/// The bytes are not Docker's framing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    #[error("unrecognized input header: {0}")]
    Stream(u8),
    #[error("a frame of {0} bytes is longer than the {MAX_PAYLOAD} bytes that a frame can have")]
    Length(u32),
}

/// Takes frames apart as their bytes arrive. It holds no payload back: a part of a payload is handed on as soon
/// as it is there.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    current: Option<(Stream, usize)>,
}

impl Decoder {
    /// Adds bytes from the connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece of payload, or `None` until more bytes come.
    pub fn next_piece(&mut self) -> Result<Option<(Stream, Bytes)>, Malformed> {
        loop {
            if let Some((stream, left)) = self.current {
                if left == 0 {
                    self.current = None;
                    continue;
                }
                let ready = left.min(self.buffer.len());
                if ready == 0 {
                    return Ok(None);
                }
                self.current = Some((stream, left.saturating_sub(ready)));
                return Ok(Some((stream, self.buffer.split_to(ready).freeze())));
            }
            if self.buffer.len() < HEAD {
                return Ok(None);
            }
            let number = self.buffer.get_u8();
            self.buffer.advance(3);
            let length = self.buffer.get_u32();
            let stream = Stream::from_number(number).ok_or(Malformed::Stream(number))?;
            match usize::try_from(length) {
                Ok(length) if length <= MAX_PAYLOAD => self.current = Some((stream, length)),
                _ => return Err(Malformed::Length(length)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(decoder: &mut Decoder, into: &mut Vec<(Stream, Vec<u8>)>) {
        while let Some((stream, piece)) = decoder.next_piece().unwrap() {
            match into.last_mut() {
                Some((last, bytes)) if *last == stream => bytes.extend_from_slice(&piece),
                _ => into.push((stream, piece.to_vec())),
            }
        }
    }

    #[test]
    fn a_frame_opens_with_the_stream_and_the_length() {
        let framed = encode(Stream::Stderr, &Bytes::from_static(b"hello"));
        assert_eq!(&framed[..], b"\x02\0\0\0\0\0\0\x05hello");
    }

    #[test]
    fn a_stream_number_that_docker_does_not_have_is_refused() {
        let mut decoder = Decoder::default();
        decoder.feed(b"hello, world");
        assert_eq!(decoder.next_piece(), Err(Malformed::Stream(b'h')));
    }

    #[test]
    fn a_frame_longer_than_the_bound_is_refused_before_it_is_stored() {
        let mut decoder = Decoder::default();
        decoder.feed(&head(Stream::Stdout, u32::MAX));
        assert_eq!(decoder.next_piece(), Err(Malformed::Length(u32::MAX)));
    }

    #[test]
    fn an_empty_frame_carries_nothing() {
        let mut decoder = Decoder::default();
        decoder.feed(&head(Stream::Stdout, 0));
        assert_eq!(decoder.next_piece(), Ok(None));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_bytes_are_cut(
            payloads in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..80)), 0..12),
            cut in 1usize..17,
        ) {
            let mut wire = Vec::new();
            let mut expected: Vec<(Stream, Vec<u8>)> = Vec::new();
            for (is_error, payload) in payloads {
                let stream = if is_error { Stream::Stderr } else { Stream::Stdout };
                wire.extend_from_slice(&encode(stream, &Bytes::from(payload.clone())));
                match expected.last_mut() {
                    Some((last, bytes)) if *last == stream => bytes.extend(payload),
                    _ => expected.push((stream, payload)),
                }
            }
            let mut decoder = Decoder::default();
            let mut decoded = Vec::new();
            for part in wire.chunks(cut) {
                decoder.feed(part);
                drain(&mut decoder, &mut decoded);
            }
            prop_assert_eq!(decoded, expected);
        }
    }
}
