//! Output as text. It is cut where it was read, which may be in the middle of a character.

use std::mem;

use engine::Channel;

/// The text of both output streams.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    stdout: Decoder,
    stderr: Decoder,
}

impl Texts {
    /// The text of these bytes and of what was held back before. The beginning of a character at the end is held back;
    /// what is no UTF-8 becomes U+FFFD.
    pub(super) fn push(&mut self, channel: Channel, bytes: &[u8]) -> String {
        match channel {
            Channel::Stdout => self.stdout.push(bytes),
            Channel::Stderr => self.stderr.push(bytes),
        }
    }

    /// What is held back at the end.
    pub(super) fn rest(&mut self) -> Option<String> {
        let held = [mem::take(&mut self.stdout.held), mem::take(&mut self.stderr.held)].concat();
        (!held.is_empty()).then(|| String::from_utf8_lossy(&held).into_owned())
    }
}

#[derive(Debug, Default)]
struct Decoder {
    /// At most three bytes.
    held: Vec<u8>,
}

impl Decoder {
    fn push(&mut self, bytes: &[u8]) -> String {
        let bytes = [mem::take(&mut self.held).as_slice(), bytes].concat();
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let begun = str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if begun && chunks.peek().is_none() {
                self.held = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_comes_out_whole_wherever_it_is_cut(text in "\\PC{0,16}", at in any::<proptest::sample::Index>()) {
            let at = at.index(text.len() + 1);
            let (mut texts, bytes) = (Texts::default(), text.as_bytes());
            let first = texts.push(Channel::Stdout, &bytes[..at]);
            let second = texts.push(Channel::Stdout, &bytes[at..]);
            prop_assert_eq!(first + &second, text);
            prop_assert_eq!(texts.rest(), None);
        }
    }

    #[test]
    fn what_is_no_text_is_told_as_such() {
        let mut texts = Texts::default();
        assert_eq!(texts.push(Channel::Stdout, b"a\xffb\xe2\x82"), "a\u{fffd}b");
        assert_eq!(texts.push(Channel::Stderr, b"c"), "c");
        assert_eq!(texts.rest().as_deref(), Some("\u{fffd}"));
    }
}
