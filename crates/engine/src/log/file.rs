//! The log of one container: one writer for each run, any number of readers.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::attributes::{self, Subject};
use super::cutter::Cutter;
use super::entry::{Encoder, Format, LONGEST};
use super::options::{LogSettings, uninitialized};
use super::segments::{Opened, Segments};
use super::splitter::{LineSplitter, Lines};
use super::{compress, frames};
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::stream::Channel;
use crate::{sys, time};

/// How far the log is written and whether more may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The segment that is written to.
    pub(super) sequence: u64,
    /// Bytes of whole entries in it.
    pub(super) length: u64,
    /// Whether a run is in progress.
    pub(super) live: bool,
}

/// A container's log.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    settings: LogSettings,
    state: Mutex<State>,
    position: watch::Sender<Position>,
    /// Held while a rotated file is packed.
    packer: Arc<Mutex<()>>,
}

const NOT_LOGGED: &str = "output was not logged";
const NOT_ROTATED: &str = "the log was not rotated";
const NOT_PACKED: &str = "a rotated log was not packed";

#[derive(Debug, Default)]
struct State {
    /// `None` until somebody wants to know.
    segments: Option<Segments>,
    /// The current file and its length, during a run.
    file: Option<File>,
    length: u64,
    /// Present during a run.
    encoder: Option<Encoder>,
    packing: bool,
    /// What went wrong last and was told of, until it goes well again.
    told: Option<&'static str>,
    retired: bool,
}

impl State {
    fn well(&mut self, what: &'static str) {
        self.told = self.told.filter(|told| *told != what);
    }
}

impl LogFile {
    /// The log of the container that has this folder. It need not exist before the first run.
    pub(crate) fn new(folder: &Path, id: &str, settings: LogSettings) -> Self {
        let path = match settings.format {
            Format::Json => folder.join(format!("{id}-json.log")),
            Format::Local => folder.join("local-logs").join("container.log"),
        };
        Self {
            path,
            settings,
            state: Mutex::default(),
            position: watch::Sender::default(),
            packer: Arc::default(),
        }
    }

    /// The path that `docker inspect` tells, which is that of the `json-file` driver alone.
    pub(crate) fn public_path(&self) -> Option<&Path> {
        (self.settings.format == Format::Json).then_some(&*self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn format(&self) -> Format {
        self.settings.format
    }

    /// Follows the writer.
    pub(super) fn watch(&self) -> watch::Receiver<Position> {
        drop(self.found());
        self.position.subscribe()
    }

    /// Where the writer is.
    pub(crate) fn position(&self) -> Position {
        drop(self.found());
        *self.position.borrow()
    }

    /// Opens the current file for a run, mending an entry that a crash cut off. `options` and `subject` say what is
    /// added to each entry.
    pub(crate) fn begin(
        self: &Arc<Self>,
        options: Option<&HashMap<String, String>>,
        subject: &Subject<'_>,
    ) -> Result<()> {
        let none = HashMap::new();
        let attributes = attributes::attributes(options.unwrap_or(&none), subject).map_err(uninitialized)?;
        let what = || EngineError::io(format!("the log {} cannot be opened", self.path.display()));
        if let Some(folder) = self.path.parent() {
            sys::private_directory(folder).map_err(what())?;
        }
        let mut state = self.found();
        let (mut file, length) = open(&self.path).map_err(what())?;
        state.length = mend(&mut file, length, self.settings.format).map_err(what())?;
        state.file = Some(file);
        state.encoder = Some(Encoder::new(self.settings.format, &attributes));
        self.publish(&state, true);
        self.pack(&mut state);
        Ok(())
    }

    /// Logs what this output completes. A log that cannot be written (a full disk) loses it and says so in the
    /// service's own log; the container goes on. Blocks on the page cache only.
    pub(crate) fn append(self: &Arc<Self>, splitter: &mut LineSplitter, output: &[u8]) {
        let lines = splitter.push(output);
        self.append_lines(splitter.channel, &lines);
    }

    /// Logs the unfinished line at the end of the output.
    pub(crate) fn append_rest(self: &Arc<Self>, splitter: &mut LineSplitter) {
        let lines = splitter.finish();
        self.append_lines(splitter.channel, &lines);
    }

    fn append_lines(self: &Arc<Self>, channel: Channel, lines: &Lines) {
        if lines.is_empty() {
            return;
        }
        let mut guard = self.found();
        let state = &mut *guard;
        let Some(encoder) = &state.encoder else { return };
        let (entries, ends) = lines.encode(encoder, channel, time::now());
        let (mut written, mut taken) = (0usize, 0usize);
        for end in ends {
            let waiting = taken.saturating_sub(written) as u64;
            if self.is_full(state.length.saturating_add(waiting)) {
                self.write(state, entries.get(written..taken).unwrap_or_default());
                written = taken;
                self.rotate(state);
            }
            taken = end;
        }
        self.write(state, entries.get(written..taken).unwrap_or_default());
        self.publish(state, true);
    }

    fn is_full(&self, length: u64) -> bool {
        length > 0 && self.settings.max_size.is_some_and(|most| length >= most)
    }

    fn write(&self, state: &mut State, entries: &[u8]) {
        if entries.is_empty() {
            return;
        }
        let file = match state.file.take() {
            Some(file) => Ok(file),
            None => open(&self.path).map(|(file, length)| {
                state.length = length;
                file
            }),
        };
        let written = file.and_then(|file| state.file.insert(file).write_all(entries));
        match written {
            Ok(()) => {
                state.length = state.length.saturating_add(entries.len() as u64);
                state.well(NOT_LOGGED);
            }
            Err(error) => {
                self.tell(state, &error, NOT_LOGGED);
                self.cut(state);
            }
        }
    }

    /// Takes a part of an entry back that was written.
    fn cut(&self, state: &mut State) {
        if let Some(file) = &mut state.file {
            let _ = file
                .set_len(state.length)
                .and_then(|()| file.seek(SeekFrom::Start(state.length)));
        }
    }

    /// Begins a new file. Where that cannot be, the old one goes on.
    fn rotate(self: &Arc<Self>, state: &mut State) {
        let Some(segments) = &mut state.segments else {
            return;
        };
        match segments.rotate(self.settings.max_files, state.length) {
            Ok(()) => {
                // Opened with the next entry.
                state.file = None;
                state.length = 0;
                state.well(NOT_ROTATED);
                self.pack(state);
            }
            Err(error) => self.tell(state, &error, NOT_ROTATED),
        }
    }

    fn tell(&self, state: &mut State, error: &io::Error, what: &'static str) {
        if state.told.replace(what) != Some(what) {
            tracing::warn!(path = %self.path.display(), %error, "{what}");
        }
    }

    /// The run is over: readers that follow end.
    pub(crate) fn finish(&self) {
        let mut state = self.found();
        state.file = None;
        state.encoder = None;
        self.publish(&state, false);
    }

    /// Nothing is kept any more: its files are about to be deleted. Waits for a file that is being packed; blocks.
    pub(crate) fn retire(&self) {
        let mut state = self.state.locked();
        state.retired = true;
        state.file = None;
        state.encoder = None;
        drop(state);
        drop(self.packer.locked());
    }

    pub(super) fn packer(&self) -> Arc<Mutex<()>> {
        self.packer.clone()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.state.locked().retired
    }

    /// Opens the segment of this number, or the first after it that is left.
    pub(super) fn open(&self, sequence: u64) -> io::Result<Option<Opened>> {
        match &self.found().segments {
            Some(segments) => segments.open(sequence),
            None => Ok(None),
        }
    }

    /// The oldest segment that is left.
    pub(super) fn oldest(&self) -> u64 {
        self.found().segments.as_ref().map_or(0, Segments::oldest)
    }

    fn pack(self: &Arc<Self>, state: &mut State) {
        if self.settings.compress && !std::mem::replace(&mut state.packing, true) {
            compress::start(self);
        }
    }

    /// The next file to pack, and where to; `None` ends the packing.
    pub(super) fn begin_packing(&self) -> Option<(u64, File, PathBuf)> {
        let mut state = self.found();
        let next = match &state.segments {
            Some(segments) if !state.retired => segments.unpacked(),
            _ => Ok(None),
        };
        let next = next.unwrap_or_else(|error| {
            self.tell(&mut state, &error, NOT_PACKED);
            None
        });
        state.packing = next.is_some();
        next
    }

    /// Takes a packed file in, or gives up on it until the next rotation.
    pub(super) fn end_packing(&self, sequence: u64, packed: &Path, written: io::Result<()>) {
        let mut guard = self.found();
        let state = &mut *guard;
        let taken = match (&mut state.segments, written) {
            (_, Err(error)) => Err(error),
            (Some(segments), Ok(())) if !state.retired => segments.packed(sequence, packed),
            _ => Err(io::ErrorKind::Interrupted.into()),
        };
        if let Err(error) = taken {
            let _ = std::fs::remove_file(packed);
            if !state.retired {
                self.tell(state, &error, NOT_PACKED);
            }
        }
    }

    fn publish(&self, state: &State, live: bool) {
        let sequence = state.segments.as_ref().map_or(0, Segments::current);
        self.position.send_replace(Position {
            sequence,
            length: state.length,
            live,
        });
    }

    /// The state, with the files that there are.
    fn found(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.locked();
        if state.segments.is_none() {
            let segments = Segments::find(&self.path).unwrap_or_else(|error| {
                self.tell(&mut state, &error, "the rotated logs cannot be found");
                Segments::none(&self.path)
            });
            state.length = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
            state.segments = Some(segments);
            self.publish(&state, false);
        }
        state
    }
}

/// Opens a file to write at its end. Returns it with its length.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    Ok((file, length))
}

/// Makes the file end with a whole entry, and be positioned there. Returns its length then.
fn mend(file: &mut File, length: u64, format: Format) -> io::Result<u64> {
    let length = match format {
        _ if length == 0 => 0,
        Format::Json => {
            let mut last = [0];
            file.seek(SeekFrom::Start(length.saturating_sub(1)))?;
            file.read_exact(&mut last)?;
            if last == [b'\n'] {
                return Ok(length);
            }
            // The rest of it may be of use to a person.
            file.write_all(b"\n")?;
            return Ok(length.saturating_add(1));
        }
        Format::Local if ends_whole(file, length)? => length,
        Format::Local => whole_length(file)?,
    };
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))
}

fn ends_whole(file: &mut File, length: u64) -> io::Result<bool> {
    let mut foot = [0; 4];
    let Some(at) = length.checked_sub(foot.len() as u64) else {
        return Ok(false);
    };
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut foot)?;
    let Some(begin) = frames::length(&foot).and_then(|frame| length.checked_sub(frame as u64)) else {
        return Ok(false);
    };
    file.seek(SeekFrom::Start(begin))?;
    let mut frame = Vec::new();
    file.take(LONGEST as u64).read_to_end(&mut frame)?;
    Ok(frames::is_whole(&frame))
}

/// How many bytes of a file of frames can be understood.
fn whole_length(file: &mut File) -> io::Result<u64> {
    let mut cutter = Cutter::new(Format::Local);
    let mut block = vec![0; 64 << 10];
    let mut length = 0u64;
    file.seek(SeekFrom::Start(0))?;
    loop {
        let count = file.read(&mut block)?;
        let bytes = block.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(length);
        }
        cutter.feed(bytes);
        while let Some(piece) = cutter.next_piece() {
            if !frames::is_whole(&piece.bytes) {
                return Ok(length);
            }
            length = length.saturating_add(piece.length as u64);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::log) fn settings(format: Format, max_size: u64, max_files: usize) -> LogSettings {
        LogSettings {
            format,
            max_size: (max_size > 0).then_some(max_size),
            max_files,
            compress: false,
        }
    }

    pub(in crate::log) fn begun(folder: &Path, settings: LogSettings) -> Arc<LogFile> {
        let log = Arc::new(LogFile::new(folder, "id", settings));
        log.begin(None, &Subject::default()).unwrap();
        log
    }

    pub(in crate::log) fn write(log: &Arc<LogFile>, channel: Channel, text: &str) {
        log.append(&mut LineSplitter::new(channel), text.as_bytes());
    }

    #[test]
    fn an_entry_cut_off_by_a_crash_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id-json.log");
        std::fs::write(&path, b"{\"log\":\"half").unwrap();
        let log = begun(folder.path(), settings(Format::Json, 0, 1));
        write(&log, Channel::Stdout, "whole\n");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"log\":\"half\n{\"log\":\"whole"), "{text}");
    }

    #[test]
    fn a_frame_cut_off_by_a_crash_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let log = begun(folder.path(), settings(Format::Local, 0, 1));
        write(&log, Channel::Stdout, "one\ntwo\n");
        log.finish();
        let path = log.path().to_owned();
        let whole = std::fs::read(&path).unwrap();
        for torn in 1..whole.len() / 2 {
            let mut bytes = whole.clone();
            bytes.extend(&whole[..torn]);
            std::fs::write(&path, &bytes).unwrap();
            let log = begun(folder.path(), settings(Format::Local, 0, 1));
            assert_eq!(log.position().length, whole.len() as u64);
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_second_run_appends() {
        let folder = tempfile::tempdir().unwrap();
        for lines in 1..3 {
            let log = begun(folder.path(), settings(Format::Json, 0, 1));
            write(&log, Channel::Stdout, "x\n");
            log.finish();
            let text = std::fs::read_to_string(log.path()).unwrap();
            assert_eq!(text.lines().count(), lines);
            assert_eq!(log.position().length, text.len() as u64);
        }
    }

    #[test]
    fn a_file_is_rotated_by_its_size_and_no_entry_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let log = begun(folder.path(), settings(Format::Json, 200, 3));
        write(&log, Channel::Stdout, &"0123456789\n".repeat(50));
        let mut sizes = Vec::new();
        for name in ["id-json.log", "id-json.log.1", "id-json.log.2"] {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(
                text.lines()
                    .all(|line| line.starts_with('{') && line.ends_with('}'))
            );
            sizes.push(text.len());
        }
        assert!(
            sizes[1..].iter().all(|size| (200..300).contains(size)),
            "{sizes:?}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_a_killed_service_left_unpacked_is_packed_later() {
        let folder = tempfile::tempdir().unwrap();
        for number in [1, 3] {
            std::fs::write(folder.path().join(format!("id-json.log.{number}")), "{}\n").unwrap();
        }
        let settings = LogSettings {
            compress: true,
            ..settings(Format::Json, 100, 5)
        };
        let log = Arc::new(LogFile::new(folder.path(), "id", settings));
        compress::run(&Arc::downgrade(&log));
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["id-json.log.1.gz", "id-json.log.3.gz"]);
    }

    #[test]
    fn a_log_whose_container_goes_away_is_not_packed_any_more() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("id-json.log.1"), "{}\n").unwrap();
        let log = Arc::new(LogFile::new(folder.path(), "id", settings(Format::Json, 100, 3)));
        log.retire();
        compress::run(&Arc::downgrade(&log));
        assert!(folder.path().join("id-json.log.1").exists());
    }
}
