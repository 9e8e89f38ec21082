//! What the guest writes on its serial port: the end of it always, all of it on request.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use devices::console::ConsoleTail;

/// How much a machine can write into its log file, in bytes: a guest must not fill the host's disk.
const LOG_SIZE: u64 = 16 * 1024 * 1024;
/// The lines of a [`Console::tail`]. A panic of the kernel with its call trace has about forty.
const TAIL_LINES: usize = 60;

/// The console of one machine. Shared by its threads.
#[derive(Default)]
pub struct Console {
    end: ConsoleTail,
    log: Option<Mutex<Log>>,
}

struct Log {
    file: File,
    left: u64,
}

impl Console {
    /// Keeps the last lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes everything to this file too, which begins empty; 16 MiB at most.
    pub fn with_log(path: &Path) -> io::Result<Self> {
        let log = Log {
            file: File::create(path)?,
            left: LOG_SIZE,
        };
        Ok(Self {
            end: ConsoleTail::new(),
            log: Some(Mutex::new(log)),
        })
    }

    /// Takes what the guest wrote.
    pub fn write(&self, bytes: &[u8]) {
        self.end.push(bytes);
        if let Some(log) = &self.log {
            log.lock().unwrap_or_else(PoisonError::into_inner).append(bytes);
        }
    }

    /// The last lines that are not empty, oldest first; printable characters alone.
    pub fn tail(&self) -> Vec<String> {
        let mut lines = self.end.tail(usize::MAX);
        lines.retain(|line| !line.trim().is_empty());
        lines.split_off(lines.len().saturating_sub(TAIL_LINES))
    }
}

impl Log {
    fn append(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let Some(bytes) = bytes.get(..room).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        self.left -= room as u64;
        if let Err(error) = self.file.write_all(bytes) {
            tracing::warn!("the console's log cannot be written: {error}");
            self.left = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_what_was_written() {
        let console = Console::new();
        for number in 0..2000 {
            console.write(format!("line {number}\r\n\r\n").as_bytes());
        }
        let tail = console.tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail.last().unwrap(), "line 1999");
    }

    #[test]
    fn the_log_has_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let console = Console::with_log(&path).unwrap();
        console.write(b"one\r\n");
        console.write(b"\xfftwo");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\r\n\xfftwo");
    }

    #[test]
    fn the_log_does_not_grow_past_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let console = Console::with_log(&path).unwrap();
        let block = vec![b'y'; 1 << 20];
        for _ in 0..20 {
            console.write(&block);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LOG_SIZE);
    }
}
