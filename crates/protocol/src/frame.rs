//! Length-prefixed JSON: a 32-bit little-endian length, then that many bytes of UTF-8 JSON.
//!
//! The length is bounded by [`MAX_LENGTH`] before anything is allocated, so a peer cannot make the other side
//! grow. The functions here are free of I/O: blocking, `epoll` and async callers share them.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest JSON text in a frame, in bytes. A container's seccomp program and environment fit many times.
pub const MAX_LENGTH: usize = 1 << 20;
/// Bytes of the length prefix.
pub const PREFIX_LENGTH: usize = 4;

/// A frame could not be written or read. After any of these the connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The message is longer than a frame may be.
    #[error("a control message of {0} bytes is over the limit of {MAX_LENGTH} bytes")]
    TooLong(usize),
    /// The bytes are not the JSON of the expected message.
    #[error("a control message could not be understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// The frame of one message, prefix included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; PREFIX_LENGTH];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len().saturating_sub(PREFIX_LENGTH);
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_LENGTH);
    let prefix = prefix.ok_or(FrameError::TooLong(length))?;
    for (slot, byte) in frame.iter_mut().zip(prefix.to_le_bytes()) {
        *slot = byte;
    }
    Ok(frame)
}

/// The body length that a prefix announces, checked against [`MAX_LENGTH`].
pub fn body_length(prefix: [u8; PREFIX_LENGTH]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_LENGTH {
        Err(FrameError::TooLong(length))
    } else {
        Ok(length)
    }
}

/// The message in a frame's body.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(body)?)
}

/// Collects bytes as they arrive and gives out whole messages. Holds at most one frame beyond what was pushed
/// last.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Appends bytes as read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` until more bytes are pushed.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<PREFIX_LENGTH>() else {
            return Ok(None);
        };
        let length = body_length(*prefix)?;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = decode(body)?;
        self.buffer.drain(..PREFIX_LENGTH.saturating_add(length));
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_out_whole_however_the_bytes_arrive(
            messages in proptest::collection::vec(".{0,200}", 0..8),
            piece in 1usize..64,
        ) {
            let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut received: Vec<String> = Vec::new();
            for chunk in bytes.chunks(piece) {
                decoder.push(chunk);
                while let Some(message) = decoder.next_message().unwrap() {
                    received.push(message);
                }
            }
            prop_assert_eq!(received, messages);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_message::<serde_json::Value>() {}
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_body_arrives() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(
            decoder.next_message::<String>(),
            Err(FrameError::TooLong(_))
        ));
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        assert!(matches!(
            encode(&"x".repeat(MAX_LENGTH)),
            Err(FrameError::TooLong(_))
        ));
    }
}
