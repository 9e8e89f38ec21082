//! The key sequence that leaves a terminal without stopping its process (docker attach `--detach-keys`).

use crate::error::{EngineError, Result};

/// `ctrl-p,ctrl-q`.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// A key sequence and how much of it was typed last.
#[derive(Clone, Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// Reads a comma-separated list of single characters and `ctrl-X`. Nothing means Docker's default.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        let keys = match text {
            None | Some("") => DEFAULT.to_vec(),
            Some(text) => text
                .split(',')
                .map(key)
                .collect::<Option<Vec<u8>>>()
                .ok_or_else(|| EngineError::BadRequest(format!("Invalid detach keys ({text}) provided")))?,
        };
        Ok(Self { keys, typed: 0 })
    }

    /// Takes what was typed and gives what the process is to see of it, and whether the sequence is complete.
    /// A prefix of the sequence is held back until the next key decides.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut seen = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.typed) == Some(&byte) {
                self.typed = self.typed.saturating_add(1);
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return (seen, true);
                }
                continue;
            }
            seen.extend(self.keys.iter().take(self.typed));
            self.typed = 0;
            if self.keys.first() == Some(&byte) && self.keys.len() > 1 {
                self.typed = 1;
            } else {
                seen.push(byte);
            }
        }
        (seen, false)
    }
}

fn key(name: &str) -> Option<u8> {
    if let &[byte] = name.as_bytes() {
        return Some(byte);
    }
    let &[control] = name.strip_prefix("ctrl-")?.as_bytes() else {
        return None;
    };
    match control {
        b'a'..=b'z' => Some(control & 0x1f),
        b'@' | b'[' | b'\\' | b']' | b'^' | b'_' => Some(control & 0x1f),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_is_ctrl_p_ctrl_q() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(keys.filter(b"ls\x10\x11more"), (b"ls".to_vec(), true));
    }

    #[test]
    fn a_sequence_typed_in_two_reads_counts() {
        let mut keys = DetachKeys::parse(Some("ctrl-a,x")).unwrap();
        assert_eq!(keys.filter(b"\x01"), (vec![], false));
        assert_eq!(keys.filter(b"x"), (vec![], true));
    }

    #[test]
    fn a_prefix_that_comes_to_nothing_reaches_the_process() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(keys.filter(b"\x10"), (vec![], false));
        assert_eq!(keys.filter(b"a"), (b"\x10a".to_vec(), false));
    }

    #[test]
    fn nonsense_is_refused_in_dockers_words() {
        let error = DetachKeys::parse(Some("ctrl-1")).unwrap_err();
        assert_eq!(error.to_string(), "Invalid detach keys (ctrl-1) provided");
    }

    proptest! {
        #[test]
        fn without_the_sequence_every_byte_comes_through(
            pieces in proptest::collection::vec(proptest::collection::vec(0x12u8.., 0..16), 0..8),
        ) {
            let mut keys = DetachKeys::parse(None).unwrap();
            let mut seen = Vec::new();
            for piece in &pieces {
                let (bytes, detached) = keys.filter(piece);
                prop_assert!(!detached);
                seen.extend(bytes);
            }
            prop_assert_eq!(seen, pieces.concat());
        }
    }
}
