//! Netlink messages (netlink(7)): a header, a fixed part, and attributes of type, length and value, padded to four
//! bytes.

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// An attribute that holds attributes.
const NESTED: u16 = 1 << 15;

/// A message being written.
#[derive(Debug)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A message of this type; length and sequence number come with [`Message::finish`].
    pub(super) fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        Self(bytes)
    }

    /// Adds the fixed part, whose length is a multiple of four.
    pub(super) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Adds an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        self
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds an attribute that holds what `fill` adds.
    pub(super) fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let begin = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        let mut filled = fill(self);
        let length = u16::try_from(filled.0.len().saturating_sub(begin)).unwrap_or(u16::MAX);
        if let Some(place) = filled.0.get_mut(begin..begin.saturating_add(2)) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
        filled
    }

    /// The bytes to send.
    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        for (place, value) in [(0, length), (8, sequence)] {
            if let Some(bytes) = self.0.get_mut(place..place + 4) {
                bytes.copy_from_slice(&value.to_ne_bytes());
            }
        }
        self.0
    }
}

/// A message of the kernel: its type, its sequence number and what follows the header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received<'a> {
    pub(super) kind: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// The messages in a datagram.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk::<4>()?)).ok()?;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(message.get(8..12)?.try_into().ok()?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Received {
            kind,
            sequence,
            body: message.get(HEADER..)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_padded_and_nested_ones_have_the_length_of_what_they_hold() {
        let bytes = Message::new(16, 5)
            .fixed(&[9; 4])
            .text(3, "br0")
            .nested(18, |message| message.text(1, "bridge"))
            .finish(7);
        assert_eq!(bytes.len(), 16 + 4 + 8 + 4 + 12);
        assert_eq!(bytes[..4], 44u32.to_ne_bytes());
        assert_eq!(bytes[28..30], 16u16.to_ne_bytes());
        let received: Vec<_> = messages(&bytes).collect();
        assert_eq!(
            (received.len(), received[0].kind, received[0].sequence),
            (1, 16, 7)
        );
    }

    proptest! {
        #[test]
        fn no_datagram_makes_the_reader_fail_or_go_on_for_ever(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }
}
