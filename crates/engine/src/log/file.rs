//! The log file of one container: one writer for each run, any number of readers.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tokio::sync::watch;

use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::sys;

/// How far the file is written and whether more may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Bytes of whole entries.
    pub(crate) length: u64,
    /// Whether a run is in progress.
    pub(crate) live: bool,
}

/// A container's log.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Mutex<Option<File>>,
    position: watch::Sender<Position>,
}

impl LogFile {
    /// The log at `path`, which need not exist before the first run.
    pub(crate) fn new(path: PathBuf) -> Self {
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self {
            path,
            file: Mutex::default(),
            position: watch::Sender::new(Position { length, live: false }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Follows the writer.
    pub(crate) fn position(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Opens the file for a run, mending an entry that a crash cut off.
    pub(crate) fn begin(&self) -> Result<()> {
        let what = || format!("the log {} cannot be opened", self.path.display());
        if let Some(folder) = self.path.parent() {
            sys::private_directory(folder).map_err(EngineError::io(what()))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(EngineError::io(what()))?;
        let mut length = file.metadata().map_err(EngineError::io(what()))?.len();
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(length.saturating_sub(1)))
                .and_then(|_| file.read_exact(&mut last))
                .map_err(EngineError::io(what()))?;
            if last != [b'\n'] {
                file.write_all(b"\n").map_err(EngineError::io(what()))?;
                length = length.saturating_add(1);
            }
        }
        *self.file.locked() = Some(file);
        self.position.send_replace(Position { length, live: true });
        Ok(())
    }

    /// Appends whole entries. A log that cannot be written (a full disk) loses them and says so in the
    /// service's own log; the container goes on. Blocks on the page cache only.
    pub(crate) fn append(&self, entries: &[u8]) {
        if entries.is_empty() {
            return;
        }
        let mut guard = self.file.locked();
        let Some(file) = guard.as_mut() else { return };
        match file.write_all(entries) {
            Ok(()) => self.position.send_modify(|position| {
                position.length = position.length.saturating_add(entries.len() as u64);
            }),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "output was not logged");
                let _ = file.set_len(self.position.borrow().length);
            }
        }
    }

    /// The run is over: readers that follow end.
    pub(crate) fn finish(&self) {
        *self.file.locked() = None;
        self.position.send_modify(|position| position.live = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_cut_off_by_a_crash_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"{\"log\":\"half").unwrap();
        let log = LogFile::new(path.clone());
        log.begin().unwrap();
        log.append(b"{}\n");
        log.finish();
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"log\":\"half\n{}\n");
    }

    #[test]
    fn a_second_run_appends() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("id/log"));
        for _ in 0..2 {
            log.begin().unwrap();
            log.append(b"{}\n");
            log.finish();
        }
        assert_eq!(
            *log.position().borrow(),
            Position {
                length: 6,
                live: false
            }
        );
    }
}
