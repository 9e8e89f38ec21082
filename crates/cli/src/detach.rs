//! The key sequence that leaves a terminal session without ending it: Ctrl-P Ctrl-Q unless told otherwise
//! (`detachKeys` of `POST /containers/{id}/attach`).
//!
//! Input that might be the beginning of the sequence is held back until the next byte tells.

use bytes::{Bytes, BytesMut};

/// Docker's own sequence.
pub(crate) const DEFAULT: &str = "ctrl-p,ctrl-q";
/// More keys than anyone can type as one sequence.
const MAX_KEYS: usize = 32;

/// Not a sequence of keys.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid detach keys ({0}): Unknown character: '{1}'")]
pub(crate) struct UnknownKey(String, String);

/// Reads `a`, `ctrl-a` … `ctrl-z`, `ctrl-@`, `ctrl-[`, `ctrl-\`, `ctrl-]`, `ctrl-^` and `ctrl-_`, separated by
/// commas. An empty text is [`DEFAULT`].
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, UnknownKey> {
    let text = if text.is_empty() { DEFAULT } else { text };
    let unknown = |key: &str| UnknownKey(text.chars().take(128).collect(), key.chars().take(32).collect());
    let mut keys = Vec::new();
    for key in text.split(',') {
        let byte = match key.strip_prefix("ctrl-").map(str::as_bytes) {
            Some([letter @ b'a'..=b'z']) => letter & 0x1f,
            Some([sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => sign & 0x1f,
            Some(_) => return Err(unknown(key)),
            None => match key.as_bytes() {
                [single] if single.is_ascii() => *single,
                _ => return Err(unknown(key)),
            },
        };
        if keys.len() == MAX_KEYS {
            return Err(unknown(key));
        }
        keys.push(byte);
    }
    Ok(keys)
}

/// Watches what is typed for the sequence.
#[derive(Debug)]
pub(crate) struct Watch {
    keys: Vec<u8>,
    matched: usize,
}

/// What became of some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Pass these bytes on (possibly none yet).
    Input(Bytes),
    /// Pass these on; then the person leaves.
    Detach(Bytes),
}

impl Watch {
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Looks at the next bytes typed.
    pub(crate) fn look(&mut self, input: &[u8]) -> Typed {
        let mut pass = BytesMut::with_capacity(input.len());
        for byte in input {
            if self.keys.get(self.matched) != Some(byte) && self.matched > 0 {
                pass.extend_from_slice(self.keys.get(..self.matched).unwrap_or_default());
                self.matched = 0;
            }
            if self.keys.get(self.matched) == Some(byte) {
                self.matched = self.matched.saturating_add(1);
                if self.matched == self.keys.len() {
                    return Typed::Detach(pass.freeze());
                }
            } else {
                pass.extend_from_slice(std::slice::from_ref(byte));
            }
        }
        Typed::Input(pass.freeze())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn typed(input: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut watch = Watch::new(parse("").unwrap());
        let mut passed = Vec::new();
        for part in input {
            match watch.look(part) {
                Typed::Input(bytes) => passed.extend_from_slice(&bytes),
                Typed::Detach(bytes) => {
                    passed.extend_from_slice(&bytes);
                    return (passed, true);
                }
            }
        }
        (passed, false)
    }

    #[rstest]
    #[case("ctrl-p,ctrl-q", &[16, 17])]
    #[case("", &[16, 17])]
    #[case("a,ctrl-@,ctrl-[", &[b'a', 0, 27])]
    fn keys_are_read(#[case] text: &str, #[case] keys: &[u8]) {
        assert_eq!(parse(text).unwrap(), keys);
    }

    #[rstest]
    #[case("ctrl-")]
    #[case("ctrl-P")]
    #[case("ab")]
    #[case("a,,b")]
    fn what_is_no_key_is_refused(#[case] text: &str) {
        assert!(parse(text).is_err());
    }

    #[test]
    fn the_sequence_is_seen_across_reads_and_not_passed_on() {
        assert_eq!(typed(&[b"ls\x10", b"\x11rest"]), (b"ls".to_vec(), true));
    }

    #[test]
    fn a_sequence_that_breaks_off_is_passed_on_whole() {
        assert_eq!(typed(&[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
    }

    #[test]
    fn the_first_key_typed_twice_still_opens_the_sequence() {
        assert_eq!(typed(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }
}
