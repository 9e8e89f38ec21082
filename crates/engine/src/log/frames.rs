//! The format of the `local` driver: frames that can be walked from either end.
//!
//! ```text
//! length   u32    of the body, in bytes
//! body     time   i64    nanoseconds since the Unix epoch
//!          flags  u8     1: stderr
//!          count  u32    length of the attributes, in bytes
//!          attributes    a JSON object of texts, or nothing
//!          text          the output as it came, to the end of the body
//! checksum u32    CRC-32C of the body
//! length   u32    again
//! ```
//!
//! Numbers are big-endian. The checksum tells a whole frame at the end of a file from one that a crash cut off.

use bytes::{Buf, BufMut};
use serde_json::value::RawValue;

use super::entry::{Entry, LONGEST, Stamp};
use crate::stream::Channel;

/// Bytes before a frame's body.
pub(super) const HEAD: usize = 4;
/// Bytes behind a frame's body.
pub(super) const FOOT: usize = 8;
/// The shortest body: time, flags, and no attributes.
const SHORTEST: usize = 13;
const STDERR: u8 = 1;

pub(super) fn encode(
    into: &mut Vec<u8>,
    text: &[u8],
    channel: Channel,
    unix_ns: i64,
    attributes: Option<&RawValue>,
) {
    let attributes = attributes.map_or("", RawValue::get);
    let sizes = (
        u32::try_from(attributes.len()),
        u32::try_from(
            SHORTEST
                .saturating_add(attributes.len())
                .saturating_add(text.len()),
        ),
    );
    let (Ok(count), Ok(length)) = sizes else { return };
    into.put_u32(length);
    let body = into.len();
    into.put_i64(unix_ns);
    into.put_u8(if channel == Channel::Stderr { STDERR } else { 0 });
    into.put_u32(count);
    into.put_slice(attributes.as_bytes());
    into.put_slice(text);
    let checksum = crc32c::crc32c(into.get(body..).unwrap_or_default());
    into.put_u32(checksum);
    into.put_u32(length);
}

/// The length of the frame that these bytes begin, or end, with; `None` where no frame has that length.
pub(super) fn length(mut number: &[u8]) -> Option<usize> {
    let body = usize::try_from(number.try_get_u32().ok()?).ok()?;
    let length = body.checked_add(HEAD + FOOT)?;
    (body >= SHORTEST && length <= LONGEST).then_some(length)
}

/// Whether the bytes are one frame without a flaw.
pub(super) fn is_whole(frame: &[u8]) -> bool {
    body(frame).is_some()
}

fn body(frame: &[u8]) -> Option<&[u8]> {
    let (head, rest) = frame.split_at_checked(HEAD)?;
    let (body, mut foot) = rest.split_at_checked(rest.len().checked_sub(FOOT)?)?;
    let checksum = foot.try_get_u32().ok()?;
    let good = length(head)? == frame.len() && head == foot && crc32c::crc32c(body) == checksum;
    good.then_some(body)
}

pub(super) fn parse(frame: &[u8]) -> Option<Entry> {
    let mut body = body(frame)?;
    let unix_ns = body.try_get_i64().ok()?;
    let flags = body.try_get_u8().ok()?;
    let count = usize::try_from(body.try_get_u32().ok()?).ok()?;
    let (attributes, text) = body.split_at_checked(count)?;
    let attributes = if attributes.is_empty() {
        Default::default()
    } else {
        serde_json::from_slice(attributes).ok()?
    };
    Some(Entry {
        text: text.to_vec(),
        channel: if flags & STDERR == 0 {
            Channel::Stdout
        } else {
            Channel::Stderr
        },
        stamp: Stamp::UnixNs(unix_ns),
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::{Encoder, Format};
    use super::*;

    proptest! {
        #[test]
        fn an_entry_comes_back(
            text in proptest::collection::vec(any::<u8>(), 0..64),
            stderr in any::<bool>(),
            unix_ns in any::<i64>(),
            attributes in proptest::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..4),
        ) {
            let channel = if stderr { Channel::Stderr } else { Channel::Stdout };
            let mut frame = Vec::new();
            Encoder::new(Format::Local, &attributes).encode(&mut frame, &text, channel, unix_ns);
            prop_assert!(is_whole(&frame));
            prop_assert_eq!(length(&frame), Some(frame.len()));
            let entry = parse(&frame).unwrap();
            prop_assert_eq!(entry, Entry { text, channel, stamp: Stamp::UnixNs(unix_ns), attributes });
        }

        #[test]
        fn a_frame_that_was_cut_or_changed_is_none(
            text in proptest::collection::vec(any::<u8>(), 0..64),
            at in any::<proptest::sample::Index>(),
            flip in 1u8..,
        ) {
            let mut frame = Vec::new();
            encode(&mut frame, &text, Channel::Stdout, 7, None);
            let at = at.index(frame.len());
            prop_assert_eq!(parse(&frame[..at]), None);
            frame[at] ^= flip;
            prop_assert_eq!(parse(&frame), None);
        }

        #[test]
        fn arbitrary_bytes_are_no_crash(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = (parse(&bytes), length(&bytes));
        }
    }
}
