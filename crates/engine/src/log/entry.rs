//! Lines of output to lines of the log file, and back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::stream::Channel;
use crate::time;

/// The longest piece of a line in one entry, in bytes, as in Docker.
const LONGEST: usize = 16 << 10;

#[derive(Serialize)]
struct Written<'a> {
    log: Cow<'a, str>,
    stream: &'a str,
    time: &'a str,
}

/// One entry as read.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Entry {
    #[serde(default)]
    pub(crate) log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
}

impl Entry {
    /// The entry on a line of the file; `None` for a line that a crash or a full disk cut off.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    pub(crate) fn channel(&self) -> Channel {
        if self.stream == "stderr" {
            Channel::Stderr
        } else {
            Channel::Stdout
        }
    }

    /// Nanoseconds since the Unix epoch, 0 where the file has no readable time.
    pub(crate) fn unix_ns(&self) -> i64 {
        time::parse_rfc3339(&self.time).unwrap_or_default()
    }
}

/// Cuts one output stream into entries. Holds back an unfinished line of at most 16 KiB.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    channel: Channel,
    unfinished: Vec<u8>,
}

impl LineSplitter {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            unfinished: Vec::new(),
        }
    }

    /// The entries that these bytes complete, ready to be appended to the file.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(bytes.len().saturating_mul(2));
        let now = time::rfc3339(time::now());
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut rest = line;
            while !rest.is_empty() {
                let room = LONGEST.saturating_sub(self.unfinished.len());
                let (piece, later) = rest.split_at(room.min(rest.len()));
                self.unfinished.extend_from_slice(piece);
                rest = later;
                if self.unfinished.ends_with(b"\n") {
                    encode(&mut encoded, &self.unfinished, self.channel, &now);
                    self.unfinished.clear();
                } else if self.unfinished.len() >= LONGEST {
                    let whole = whole_characters(&self.unfinished);
                    let (first, cut) = self.unfinished.split_at(whole);
                    encode(&mut encoded, first, self.channel, &now);
                    self.unfinished = cut.to_vec();
                }
            }
        }
        encoded
    }

    /// The unfinished line at the end of the stream, if there is one.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut encoded = Vec::new();
        if !self.unfinished.is_empty() {
            encode(
                &mut encoded,
                &self.unfinished,
                self.channel,
                &time::rfc3339(time::now()),
            );
            self.unfinished.clear();
        }
        encoded
    }
}

/// How many bytes come before a UTF-8 character that the end of `bytes` cuts in two.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn encode(into: &mut Vec<u8>, piece: &[u8], channel: Channel, time: &str) {
    let written = Written {
        log: String::from_utf8_lossy(piece),
        stream: channel.name(),
        time,
    };
    if serde_json::to_writer(&mut *into, &written).is_ok() {
        into.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(encoded: &[u8]) -> Vec<Entry> {
        encoded
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| Entry::parse(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_logged_once_it_is_complete() {
        let mut splitter = LineSplitter::new(Channel::Stderr);
        assert!(splitter.push(b"hel").is_empty());
        let logged = entries(&splitter.push(b"lo\nrest"));
        assert_eq!(logged.len(), 1);
        assert_eq!(
            (logged[0].log.as_str(), logged[0].channel()),
            ("hello\n", Channel::Stderr)
        );
        assert_eq!(entries(&splitter.finish())[0].log, "rest");
    }

    #[test]
    fn a_long_line_is_split_and_no_character_with_it() {
        let mut splitter = LineSplitter::new(Channel::Stdout);
        let line = format!("x{}\n", "é".repeat(LONGEST));
        let logged = entries(&splitter.push(line.as_bytes()));
        assert!(logged.len() >= 2 && logged.iter().all(|entry| entry.log.len() <= LONGEST));
        assert_eq!(
            logged.iter().map(|entry| entry.log.as_str()).collect::<String>(),
            line
        );
    }

    proptest! {
        #[test]
        fn text_comes_back_whole_however_it_arrives(
            text in "(\\PC{0,40}\n?){0,20}",
            piece in 1usize..64,
        ) {
            let mut splitter = LineSplitter::new(Channel::Stdout);
            let mut encoded = Vec::new();
            for bytes in text.as_bytes().chunks(piece) {
                encoded.extend(splitter.push(bytes));
            }
            encoded.extend(splitter.finish());
            let back: String = entries(&encoded).into_iter().map(|entry| entry.log).collect();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn arbitrary_bytes_are_logged_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut splitter = LineSplitter::new(Channel::Stdout);
            let mut encoded = splitter.push(&bytes);
            encoded.extend(splitter.finish());
            entries(&encoded);
        }
    }
}
