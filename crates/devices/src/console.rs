//! The last lines of a guest's console, for whoever asks after it crashed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lines, and bytes of each, that are kept. What a guest writes beyond that pushes the oldest out.
const MAX_LINES: usize = 200;
const MAX_LINE: usize = 1024;

/// A bounded memory of console output; clones share it.
#[derive(Clone, Debug, Default)]
pub struct ConsoleTail(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    whole: VecDeque<String>,
    last: Vec<u8>,
}

impl ConsoleTail {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the guest wrote.
    pub fn push(&self, bytes: &[u8]) {
        let mut lines = self.lines();
        for byte in bytes {
            match byte {
                b'\n' => lines.end(),
                b'\r' => {}
                byte if lines.last.len() < MAX_LINE => lines.last.push(*byte),
                _ => {}
            }
        }
    }

    /// The last `count` lines, oldest first; one that is not ended yet is the last.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        let unended = (!lines.last.is_empty()).then(|| text(&lines.last));
        let all: Vec<String> = lines.whole.iter().cloned().chain(unended).collect();
        let skip = all.len().saturating_sub(count);
        all.into_iter().skip(skip).collect()
    }

    // A panic in between leaves at worst half a line.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn end(&mut self) {
        let line = text(&self.last);
        self.last.clear();
        if self.whole.len() == MAX_LINES {
            self.whole.pop_front();
        }
        self.whole.push_back(line);
    }
}

/// Control characters of the guest must not reach the user's terminal.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control() || *character == '\t')
        .collect()
}

impl Write for ConsoleTail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_one_that_is_not_ended_counts() {
        let console = ConsoleTail::new();
        console.push(b"one\r\ntwo\nthr");
        assert_eq!(console.tail(2), ["two", "thr"]);
        console.push(b"ee\n");
        assert_eq!(console.tail(9), ["one", "two", "three"]);
    }

    #[test]
    fn neither_long_lines_nor_many_grow_it() {
        let console = ConsoleTail::new();
        for _ in 0..1000 {
            console.push(&[b'x'; 5000]);
            console.push(b"\n");
        }
        let lines = console.tail(usize::MAX);
        assert_eq!(lines.len(), MAX_LINES);
        assert!(lines.iter().all(|line| line.len() == MAX_LINE));
    }

    #[test]
    fn control_sequences_are_taken_out() {
        let console = ConsoleTail::new();
        console.push(b"\x1b[31mred\x07\n");
        assert_eq!(console.tail(1), ["[31mred"]);
    }
}
