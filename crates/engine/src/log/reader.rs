//! Reading a log: the last lines, a span of time, and following the writer.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;

use super::entry::Entry;
use super::file::LogFile;
use crate::error::{EngineError, Result};
use crate::stream::{Chunk, QUEUE_LENGTH};
use crate::time;
use crate::types::LogsOptions;

/// Bytes read from the file at once.
const BLOCK: usize = 64 << 10;
/// A line of the file that is longer was not written by us and is passed over.
const LONGEST_LINE: usize = 1 << 20;

/// Starts reading in a task of its own, which ends with the receiver.
pub(crate) fn read(log: Arc<LogFile>, options: LogsOptions) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    tokio::spawn(async move {
        if let Err(error) = run(&log, &options, &sender).await {
            tracing::warn!(path = %log.path().display(), %error, "a log could not be read");
        }
    });
    receiver
}

/// Sends the entries of the first `length` bytes.
pub(crate) async fn replay(
    log: &LogFile,
    options: &LogsOptions,
    length: u64,
    sender: &mpsc::Sender<Chunk>,
) -> Result<()> {
    let Some(mut file) = open(log.path()).await? else {
        return Ok(());
    };
    let mut cursor = Cursor {
        at: 0,
        line: Vec::new(),
    };
    cursor.advance(&mut file, length, options, sender).await.map(drop)
}

async fn run(log: &LogFile, options: &LogsOptions, sender: &mpsc::Sender<Chunk>) -> Result<()> {
    let mut position = log.position();
    let mut now = *position.borrow_and_update();
    let follow = options.follow && now.live;
    let start = match options.tail {
        None => 0,
        Some(0) => now.length,
        Some(lines) => {
            let path = log.path().to_owned();
            tokio::task::spawn_blocking(move || tail_offset(&path, now.length, lines))
                .await
                .map_err(|error| EngineError::Internal(error.to_string()))?
                .map_err(failed(log.path()))?
        }
    };
    let mut cursor = Cursor {
        at: start,
        line: Vec::new(),
    };
    let Some(mut file) = open(log.path()).await? else {
        return Ok(());
    };
    loop {
        if !cursor.advance(&mut file, now.length, options, sender).await? || !follow {
            return Ok(());
        }
        if !now.live && cursor.at >= now.length {
            return Ok(());
        }
        tokio::select! {
            changed = position.changed() => if changed.is_err() { return Ok(()) },
            () = sender.closed() => return Ok(()),
        }
        now = *position.borrow_and_update();
    }
}

async fn open(path: &Path) -> Result<Option<tokio::fs::File>> {
    match tokio::fs::File::open(path).await {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> EngineError {
    EngineError::io(format!("the log {} cannot be read", path.display()))
}

/// Where a reader is in the file, and the line that the last block cut off.
struct Cursor {
    at: u64,
    line: Vec<u8>,
}

impl Cursor {
    /// Sends what lies before `end`. False when nothing further is wanted.
    async fn advance(
        &mut self,
        file: &mut tokio::fs::File,
        end: u64,
        options: &LogsOptions,
        sender: &mpsc::Sender<Chunk>,
    ) -> Result<bool> {
        file.seek(SeekFrom::Start(self.at))
            .await
            .map_err(EngineError::io("the log cannot be read"))?;
        let mut block = vec![0; BLOCK];
        while self.at < end {
            let count = file
                .read(&mut block)
                .await
                .map_err(EngineError::io("the log cannot be read"))?;
            let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let bytes = block.get(..count.min(left)).unwrap_or_default();
            if bytes.is_empty() {
                // The file is shorter than the writer said: somebody cut it.
                self.at = end;
                break;
            }
            self.at = self.at.saturating_add(bytes.len() as u64);
            for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
                if self.line.len().saturating_add(piece.len()) <= LONGEST_LINE {
                    self.line.extend_from_slice(piece);
                }
                if piece.ends_with(b"\n") {
                    let entry = Entry::parse(&self.line);
                    self.line.clear();
                    if !deliver(entry, options, sender).await {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}

/// False when nothing further is wanted.
async fn deliver(entry: Option<Entry>, options: &LogsOptions, sender: &mpsc::Sender<Chunk>) -> bool {
    let Some(entry) = entry else { return true };
    let channel = entry.channel();
    let wanted = match channel {
        crate::stream::Channel::Stdout => options.stdout,
        crate::stream::Channel::Stderr => options.stderr,
    };
    let needs_time = options.timestamps || options.since.is_some() || options.until.is_some();
    let unix_ns = if needs_time { entry.unix_ns() } else { 0 };
    if options.until.is_some_and(|until| unix_ns > until) {
        return false;
    }
    if !wanted || options.since.is_some_and(|since| unix_ns < since) {
        return true;
    }
    let bytes = if options.timestamps {
        let mut text = time::rfc3339_fixed(unix_ns);
        text.push(' ');
        text.push_str(&entry.log);
        Bytes::from(text)
    } else {
        Bytes::from(entry.log)
    };
    sender.send(Chunk { channel, bytes }).await.is_ok()
}

/// Where the last `lines` lines of the first `length` bytes begin. Blocks; reads no more than these lines.
fn tail_offset(path: &Path, length: u64, lines: usize) -> io::Result<u64> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut block = vec![0; BLOCK];
    let mut end = length;
    let mut newlines = 0usize;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let size = usize::try_from(end.saturating_sub(begin)).unwrap_or(BLOCK);
        let Some(bytes) = block.get_mut(..size) else { break };
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(bytes)?;
        for (index, byte) in bytes.iter().enumerate().rev() {
            if *byte == b'\n' {
                newlines = newlines.saturating_add(1);
                // The first newline from the end closes the last line; one more than asked begins the first.
                if newlines > lines {
                    return Ok(begin.saturating_add(index as u64).saturating_add(1));
                }
            }
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::LineSplitter;
    use super::*;
    use crate::stream::Channel;

    fn everything() -> LogsOptions {
        LogsOptions {
            stdout: true,
            stderr: true,
            ..LogsOptions::default()
        }
    }

    fn log_with(folder: &Path, lines: &[&str]) -> Arc<LogFile> {
        let log = Arc::new(LogFile::new(folder.join("log")));
        log.begin().unwrap();
        let mut splitter = LineSplitter::new(Channel::Stdout);
        for line in lines {
            log.append(&splitter.push(format!("{line}\n").as_bytes()));
        }
        log
    }

    async fn text(mut receiver: mpsc::Receiver<Chunk>) -> String {
        let mut text = String::new();
        while let Some(chunk) = receiver.recv().await {
            text.push_str(std::str::from_utf8(&chunk.bytes).unwrap());
        }
        text
    }

    #[tokio::test]
    async fn tail_gives_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_with(folder.path(), &["one", "two", "three"]);
        for (tail, expected) in [
            (0, ""),
            (1, "three\n"),
            (2, "two\nthree\n"),
            (9, "one\ntwo\nthree\n"),
        ] {
            let options = LogsOptions {
                tail: Some(tail),
                ..everything()
            };
            assert_eq!(text(read(log.clone(), options)).await, expected);
        }
    }

    #[tokio::test]
    async fn following_ends_with_the_run_and_gives_what_was_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_with(folder.path(), &["before"]);
        let mut receiver = read(
            log.clone(),
            LogsOptions {
                follow: true,
                ..everything()
            },
        );
        assert_eq!(receiver.recv().await.unwrap().bytes, "before\n");
        log.append(&LineSplitter::new(Channel::Stderr).push(b"after\n"));
        let chunk = receiver.recv().await.unwrap();
        assert_eq!(
            (chunk.channel, chunk.bytes.as_ref()),
            (Channel::Stderr, b"after\n".as_slice())
        );
        log.finish();
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn following_a_finished_run_ends_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_with(folder.path(), &["only"]);
        log.finish();
        assert_eq!(
            text(read(
                log,
                LogsOptions {
                    follow: true,
                    ..everything()
                }
            ))
            .await,
            "only\n"
        );
    }

    #[tokio::test]
    async fn a_log_that_was_never_written_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(LogFile::new(folder.path().join("none")));
        assert_eq!(
            text(read(
                log,
                LogsOptions {
                    follow: true,
                    tail: Some(3),
                    ..everything()
                }
            ))
            .await,
            ""
        );
    }

    #[tokio::test]
    async fn timestamps_have_nine_digits_and_since_and_until_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = |second: u32| {
            format!(
                "{{\"log\":\"{second}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:0{second}.5Z\"}}\n"
            )
        };
        std::fs::write(&path, (1..5).map(line).collect::<String>()).unwrap();
        let log = Arc::new(LogFile::new(path));
        let at = |second: i64| Some(1_704_067_200_000_000_000 + second * 1_000_000_000);
        let options = LogsOptions {
            since: at(2),
            until: at(4),
            timestamps: true,
            ..everything()
        };
        assert_eq!(
            text(read(log, options)).await,
            "2024-01-01T00:00:02.500000000Z 2\n2024-01-01T00:00:03.500000000Z 3\n"
        );
    }

    #[tokio::test]
    async fn a_channel_that_was_not_asked_for_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let log = log_with(folder.path(), &["out"]);
        log.append(&LineSplitter::new(Channel::Stderr).push(b"err\n"));
        log.finish();
        assert_eq!(
            text(read(
                log,
                LogsOptions {
                    stdout: false,
                    ..everything()
                }
            ))
            .await,
            "err\n"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_tail_of_any_file_begins_after_the_right_newline(
            lines in proptest::collection::vec("[a-z]{0,30000}", 0..8),
            wanted in 1usize..10,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let content: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(&path, &content).unwrap();
            let offset = tail_offset(&path, content.len() as u64, wanted).unwrap();
            let skipped = lines.len().saturating_sub(wanted);
            let expected: usize = lines[..skipped].iter().map(|line| line.len() + 1).sum();
            prop_assert_eq!(offset, expected as u64);
        }
    }
}
