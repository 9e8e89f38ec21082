//! Reading a log: the last lines, a span of time, and following the writer across its files.
//!
//! A reader holds one file open and reads it to the end that the writer tells; a file that is renamed or deleted
//! meanwhile stays readable for it. Then it goes on with the segment that follows, or with the first after it that is
//! left: who reads slower than the log is rotated misses what rotation dropped, and nothing else.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tokio::sync::{mpsc, watch};

use super::cutter::Cutter;
use super::details;
use super::entry::Entry;
use super::file::{LogFile, Position};
use super::segments::{Opened, Segment};
use super::tail::{self, Place};
use crate::error::{EngineError, Result};
use crate::stream::{Channel, Chunk, QUEUE_LENGTH};
use crate::time;
use crate::types::LogsOptions;

/// Bytes read from a file at once.
const BLOCK: usize = 64 << 10;

/// Starts reading in a task of its own, which ends with the receiver.
pub(crate) fn read(log: Arc<LogFile>, options: LogsOptions) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    tokio::spawn(async move {
        let end = log.position();
        if let Err(error) = run(&log, &options, end, &sender).await {
            tracing::warn!(path = %log.path().display(), %error, "a log could not be read");
        }
    });
    receiver
}

/// Sends the entries before `end`.
pub(crate) async fn replay(
    log: &Arc<LogFile>,
    options: &LogsOptions,
    end: Position,
    sender: &mpsc::Sender<Chunk>,
) -> Result<()> {
    run(log, options, end, sender).await
}

async fn run(
    log: &Arc<LogFile>,
    options: &LogsOptions,
    mut end: Position,
    sender: &mpsc::Sender<Chunk>,
) -> Result<()> {
    let failed = || EngineError::io(format!("the log {} cannot be read", log.path().display()));
    let mut position = log.watch();
    let follow = options.follow && end.live;
    let mut place = match options.tail {
        None => Place {
            sequence: 0,
            offset: 0,
        },
        Some(lines) => {
            let log = log.clone();
            blocking(move || tail::begin(&log, end, lines as u64))
                .await
                .map_err(failed())?
        }
    };
    loop {
        let Some(mut source) = Source::open(log, place).await.map_err(failed())? else {
            // Nothing was written to it yet.
            if !follow || !end.live || !wait(&mut position, sender).await {
                return Ok(());
            }
            end = *position.borrow_and_update();
            continue;
        };
        let sequence = source.segment.sequence;
        if sequence > end.sequence {
            if !follow {
                return Ok(());
            }
            end = *position.borrow_and_update();
        }
        loop {
            let until = if sequence == end.sequence {
                Some(end.length)
            } else {
                source.segment.length.get().copied()
            };
            match source.send(until, options, sender).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // The others may be of use still.
                Err(error) => {
                    tracing::warn!(path = %log.path().display(), %error, "a part of a log could not be read");
                    if sequence == end.sequence {
                        return Ok(());
                    }
                }
            }
            if sequence < end.sequence {
                break;
            }
            if !follow || !end.live {
                return Ok(());
            }
            if !wait(&mut position, sender).await {
                return Ok(());
            }
            end = *position.borrow_and_update();
        }
        place = Place {
            sequence: sequence.saturating_add(1),
            offset: 0,
        };
    }
}

/// Waits for the writer. False where nobody waits with it.
async fn wait(position: &mut watch::Receiver<Position>, sender: &mpsc::Sender<Chunk>) -> bool {
    tokio::select! {
        changed = position.changed() => changed.is_ok(),
        () = sender.closed() => false,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// The bytes of a file, unpacked.
enum Bytestream {
    Plain(File),
    Packed(Box<MultiGzDecoder<File>>),
}

impl Bytestream {
    /// Opens a file at a place of what is in it. Blocks.
    fn open(opened: Opened, offset: u64) -> io::Result<Self> {
        let mut file = opened.file;
        if opened.packed {
            let mut decoder = Box::new(MultiGzDecoder::new(file));
            io::copy(&mut decoder.as_mut().take(offset), &mut io::sink())?;
            Ok(Self::Packed(decoder))
        } else {
            file.seek(SeekFrom::Start(offset))?;
            Ok(Self::Plain(file))
        }
    }

    /// At most `most` bytes; none at the end. Blocks.
    fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut block = vec![0; most.min(BLOCK)];
        let count = match self {
            Self::Plain(file) => file.read(&mut block)?,
            Self::Packed(decoder) => decoder.read(&mut block)?,
        };
        block.truncate(count);
        Ok(block)
    }
}

/// Where a reader is in a segment.
struct Source {
    segment: Arc<Segment>,
    /// Absent while a thread reads, and for good once reading failed.
    bytes: Option<Bytestream>,
    at: u64,
    cutter: Cutter,
}

impl Source {
    async fn open(log: &Arc<LogFile>, place: Place) -> io::Result<Option<Self>> {
        let log = log.clone();
        blocking(move || {
            let Some(opened) = log.open(place.sequence)? else {
                return Ok(None);
            };
            let segment = opened.segment.clone();
            // Of a segment in the place of one that was dropped, all is wanted.
            let at = if segment.sequence == place.sequence {
                place.offset
            } else {
                0
            };
            Ok(Some(Self {
                segment,
                bytes: Some(Bytestream::open(opened, at)?),
                at,
                cutter: Cutter::new(log.format()),
            }))
        })
        .await
    }

    /// Sends the entries before `end`, or all where that is not known. False when nothing further is wanted.
    async fn send(
        &mut self,
        end: Option<u64>,
        options: &LogsOptions,
        sender: &mpsc::Sender<Chunk>,
    ) -> io::Result<bool> {
        let end = end.unwrap_or(u64::MAX);
        while self.at < end {
            let Some(mut bytes) = self.bytes.take() else {
                return Ok(true);
            };
            let most = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let (bytes, block) = blocking(move || {
                let block = bytes.read(most)?;
                Ok((bytes, block))
            })
            .await?;
            self.bytes = Some(bytes);
            if block.is_empty() {
                // All of it, or somebody cut it.
                self.at = end;
                return Ok(true);
            }
            self.at = self.at.saturating_add(block.len() as u64);
            self.cutter.feed(&block);
            while let Some(piece) = self.cutter.next_piece() {
                let entry = Entry::parse(self.cutter.format(), &piece.bytes);
                if !deliver(entry, options, sender).await {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// False when nothing further is wanted.
async fn deliver(entry: Option<Entry>, options: &LogsOptions, sender: &mpsc::Sender<Chunk>) -> bool {
    let Some(entry) = entry else { return true };
    let channel = entry.channel;
    let wanted = match channel {
        Channel::Stdout => options.stdout,
        Channel::Stderr => options.stderr,
    };
    let needs_time = options.timestamps || options.since.is_some() || options.until.is_some();
    let unix_ns = if needs_time { entry.unix_ns() } else { 0 };
    if options.until.is_some_and(|until| unix_ns > until) {
        return false;
    }
    if !wanted || options.since.is_some_and(|since| unix_ns < since) {
        return true;
    }
    let mut before = String::new();
    if options.timestamps {
        before.push_str(&time::rfc3339_fixed(unix_ns));
        before.push(' ');
    }
    if options.details {
        before.push_str(&details::text(&entry.attributes));
        before.push(' ');
    }
    let bytes = if before.is_empty() {
        Bytes::from(entry.text)
    } else {
        let mut line = before.into_bytes();
        line.extend_from_slice(&entry.text);
        Bytes::from(line)
    };
    sender.send(Chunk { channel, bytes }).await.is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::attributes::Subject;
    use super::super::entry::Format;
    use super::super::file::tests::{begun, settings, write};
    use super::super::options::LogSettings;
    use super::*;

    fn everything() -> LogsOptions {
        LogsOptions {
            stdout: true,
            stderr: true,
            ..LogsOptions::default()
        }
    }

    fn log_with(folder: &Path, lines: &[&str]) -> Arc<LogFile> {
        let log = begun(folder, settings(Format::Json, 0, 1));
        for line in lines {
            write(&log, Channel::Stdout, &format!("{line}\n"));
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
        write(&log, Channel::Stderr, "after\n");
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
        let options = LogsOptions {
            follow: true,
            ..everything()
        };
        assert_eq!(text(read(log, options)).await, "only\n");
    }

    #[tokio::test]
    async fn a_log_that_was_never_written_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        for format in [Format::Json, Format::Local] {
            let log = Arc::new(LogFile::new(folder.path(), "id", settings(format, 10, 2)));
            let options = LogsOptions {
                follow: true,
                tail: Some(3),
                ..everything()
            };
            assert_eq!(text(read(log, options)).await, "");
        }
    }

    #[tokio::test]
    async fn timestamps_have_nine_digits_and_since_and_until_cut() {
        let folder = tempfile::tempdir().unwrap();
        let line = |second: u32| {
            format!(
                "{{\"log\":\"{second}\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:0{second}.5Z\"}}\n"
            )
        };
        // The cuts hold across files.
        std::fs::write(folder.path().join("id-json.log.1"), line(1) + &line(2)).unwrap();
        std::fs::write(folder.path().join("id-json.log"), line(3) + &line(4)).unwrap();
        let log = Arc::new(LogFile::new(folder.path(), "id", settings(Format::Json, 10, 2)));
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
        write(&log, Channel::Stderr, "err\n");
        log.finish();
        let options = LogsOptions {
            stdout: false,
            ..everything()
        };
        assert_eq!(text(read(log, options)).await, "err\n");
    }

    #[rstest]
    #[case(Format::Json)]
    #[case(Format::Local)]
    #[tokio::test]
    async fn details_come_between_the_time_and_the_line(#[case] format: Format) {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(LogFile::new(folder.path(), "id", settings(format, 0, 1)));
        let details = LogsOptions {
            details: true,
            timestamps: true,
            ..everything()
        };
        let tag = [("tag".to_owned(), "{{.Name}}".to_owned())].into();
        let subject = Subject {
            name: "boat",
            ..Subject::default()
        };
        log.begin(Some(&tag), &subject).unwrap();
        write(&log, Channel::Stdout, "with\n");
        log.begin(None, &subject).unwrap();
        write(&log, Channel::Stdout, "without\n");
        log.finish();
        let text = text(read(log, details)).await;
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["tag=boat with", " without"]);
    }

    #[tokio::test]
    async fn a_part_that_cannot_be_read_does_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("id-json.log.1.gz"), "no gzip").unwrap();
        let log = log_with(folder.path(), &["later"]);
        assert_eq!(text(read(log, everything())).await, "later\n");
    }

    #[tokio::test]
    async fn a_reader_that_is_slower_than_the_rotation_misses_what_was_dropped_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = begun(folder.path(), settings(Format::Json, 400, 3));
        let line = |number: usize| format!("{number:04}\n");
        write(&log, Channel::Stdout, &line(0));
        let options = LogsOptions {
            follow: true,
            ..everything()
        };
        let mut receiver = read(log.clone(), options);
        assert_eq!(receiver.recv().await.unwrap().bytes, "0000\n");
        for number in 1..500 {
            write(&log, Channel::Stdout, &line(number));
        }
        log.finish();
        let numbers: Vec<usize> = text(receiver)
            .await
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        assert!(numbers.len() < 499);
        assert_eq!(numbers.last(), Some(&499));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn followers_get_every_entry_once_across_rotations_and_packing() {
        for format in [Format::Json, Format::Local] {
            let folder = tempfile::tempdir().unwrap();
            let rotating = LogSettings {
                compress: true,
                ..settings(format, 2_000, 1_000)
            };
            let log = begun(folder.path(), rotating);
            let options = LogsOptions {
                follow: true,
                ..everything()
            };
            let readers = [read(log.clone(), options.clone()), read(log.clone(), options)];
            let readers = readers.map(|receiver| tokio::spawn(text(receiver)));
            let mut expected = String::new();
            for number in 0..3_000 {
                let line = format!("line {number}\n");
                write(&log, Channel::Stdout, &line);
                expected.push_str(&line);
                tokio::task::yield_now().await;
            }
            log.finish();
            for reader in readers {
                assert_eq!(reader.await.unwrap(), expected);
            }
            // Whoever comes later finds the same, packed or not.
            assert_eq!(text(read(log, everything())).await, expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_tail_of_a_rotated_log_is_its_last_entries_in_order(
            count in 1usize..80,
            size in 100u64..900,
            files in 1usize..6,
            tail in proptest::option::of(0usize..100),
            compress in any::<bool>(),
            local in any::<bool>(),
        ) {
            let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let format = if local { Format::Local } else { Format::Json };
            let rotating = LogSettings { compress: compress && files > 1, ..settings(format, size, files) };
            let (all, cut) = runtime().block_on(async {
                let log = begun(folder.path(), rotating.clone());
                let mut all = Vec::new();
                for number in 0..count {
                    let line = format!("{number}\n");
                    write(&log, Channel::Stdout, &line);
                    all.push(line);
                }
                log.finish();
                let cut = text(read(log, LogsOptions { tail, ..everything() })).await;
                (all, cut)
            });
            // The same for the service that comes after this one, whose packing has ended with its runtime.
            let kept = runtime().block_on(async {
                let found = Arc::new(LogFile::new(folder.path(), "id", rotating));
                text(read(found, everything())).await
            });
            prop_assert!(!kept.is_empty() && all.concat().ends_with(&kept));
            let kept: Vec<&str> = kept.split_inclusive('\n').collect();
            let skipped = kept.len().saturating_sub(tail.unwrap_or(usize::MAX));
            prop_assert_eq!(cut, kept[skipped..].concat());
        }
    }
}
