//! Cuts a stream of output into the lines that become entries.

use super::entry::Encoder;
use crate::stream::Channel;

/// The longest piece of a line in one entry, in bytes, as in Docker.
const LONGEST: usize = 16 << 10;

/// Lines, or pieces of long ones.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins
            .zip(&self.ends)
            .filter_map(|(begin, end)| self.bytes.get(begin..*end))
    }

    /// All of them as entries of one time, each with its end among the bytes.
    pub(super) fn encode(&self, encoder: &Encoder, channel: Channel, unix_ns: i64) -> (Vec<u8>, Vec<usize>) {
        let mut encoded = Vec::with_capacity(self.bytes.len().saturating_mul(2));
        let mut ends = Vec::with_capacity(self.ends.len());
        for line in self.iter() {
            encoder.encode(&mut encoded, line, channel, unix_ns);
            ends.push(encoded.len());
        }
        (encoded, ends)
    }
}

/// Cuts one output stream into lines. Holds back an unfinished line of at most 16 KiB.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    pub(super) channel: Channel,
    unfinished: Vec<u8>,
}

impl LineSplitter {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            unfinished: Vec::new(),
        }
    }

    /// The lines that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Lines {
        let mut lines = Lines::default();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut rest = line;
            while !rest.is_empty() {
                let room = LONGEST.saturating_sub(self.unfinished.len());
                let (piece, later) = rest.split_at(room.min(rest.len()));
                self.unfinished.extend_from_slice(piece);
                rest = later;
                if self.unfinished.ends_with(b"\n") {
                    lines.push(&self.unfinished);
                    self.unfinished.clear();
                } else if self.unfinished.len() >= LONGEST {
                    let whole = whole_characters(&self.unfinished);
                    let (first, cut) = self.unfinished.split_at(whole);
                    lines.push(first);
                    self.unfinished = cut.to_vec();
                }
            }
        }
        lines
    }

    /// The unfinished line at the end of the stream, if there is one.
    pub(super) fn finish(&mut self) -> Lines {
        let mut lines = Lines::default();
        if !self.unfinished.is_empty() {
            lines.push(&self.unfinished);
            self.unfinished.clear();
        }
        lines
    }
}

/// How many bytes come before a UTF-8 character that the end of `bytes` cuts in two.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &Lines) -> Vec<String> {
        lines
            .iter()
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_logged_once_it_is_complete() {
        let mut splitter = LineSplitter::new(Channel::Stderr);
        assert!(splitter.push(b"hel").is_empty());
        assert_eq!(texts(&splitter.push(b"lo\nrest")), ["hello\n"]);
        assert_eq!(texts(&splitter.finish()), ["rest"]);
    }

    #[test]
    fn a_long_line_is_split_and_no_character_with_it() {
        let mut splitter = LineSplitter::new(Channel::Stdout);
        let line = format!("x{}\n", "é".repeat(LONGEST));
        let logged = texts(&splitter.push(line.as_bytes()));
        assert!(logged.len() >= 2 && logged.iter().all(|piece| piece.len() <= LONGEST));
        assert_eq!(logged.concat(), line);
    }

    proptest! {
        #[test]
        fn output_comes_back_whole_however_it_arrives(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
            piece in 1usize..64,
        ) {
            let mut splitter = LineSplitter::new(Channel::Stdout);
            let mut lines: Vec<Vec<u8>> = Vec::new();
            for part in bytes.chunks(piece) {
                lines.extend(splitter.push(part).iter().map(<[u8]>::to_vec));
            }
            lines.extend(splitter.finish().iter().map(<[u8]>::to_vec));
            prop_assert_eq!(lines.concat(), bytes);
        }
    }
}
