//! The files of one log, and their rotation.
//!
//! A log `x` lies in `x`, which is written to, and in `x.1` (the newest rotated), `x.2` and so on, each packed as
//! `x.1.gz` where asked. A rotation drops the oldest, renames from the oldest to the newest, and `x` to `x.1` last. So a
//! service that is killed on the way leaves a gap in the numbers at most: no file was in the way of another, the order
//! is still that of the numbers, and the next rotation closes the gap.
//!
//! A file is packed beside itself, under a name that no reader looks at, and then renamed. Killed before the unpacked
//! one is deleted, both are there and have the same entries: the unpacked one goes when the log is looked at again.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A part of the log, by its place among all of them.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) sequence: u64,
    /// Its length in bytes, unpacked, once nothing is added to it; unknown where the service found it packed.
    pub(super) length: OnceLock<u64>,
}

impl Segment {
    fn new(sequence: u64) -> Arc<Self> {
        Arc::new(Self {
            sequence,
            length: OnceLock::new(),
        })
    }
}

#[derive(Debug)]
struct Rotated {
    segment: Arc<Segment>,
    number: u64,
    packed: bool,
}

/// A segment to read from its begin.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) segment: Arc<Segment>,
    pub(super) file: File,
    pub(super) packed: bool,
}

/// The files of one log.
#[derive(Debug)]
pub(super) struct Segments {
    path: PathBuf,
    /// From the oldest to the newest.
    rotated: VecDeque<Rotated>,
    current: Arc<Segment>,
}

impl Segments {
    /// A log without rotated files.
    pub(super) fn none(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            rotated: VecDeque::new(),
            current: Segment::new(0),
        }
    }

    /// Finds the files of the log at `path`, and deletes what a killed service left half done. Blocks on the disk.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let mut segments = Self::none(path);
        let entries = match path.parent().map(std::fs::read_dir) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Some(Ok(entries)) => entries,
            _ => return Ok(segments),
        };
        let mut found: BTreeMap<u64, bool> = BTreeMap::new();
        for entry in entries {
            let name = entry?.file_name();
            let Some((number, packed)) = name.to_str().and_then(|name| rotated_name(path, name)) else {
                continue;
            };
            let both = found.insert(number, packed).is_some();
            if both {
                found.insert(number, true);
                remove(&file_name(path, number, false))?;
            }
        }
        remove(&unfinished(path))?;
        for (number, packed) in found.into_iter().rev() {
            let segment = Segment::new(segments.current.sequence);
            if !packed {
                let length = std::fs::metadata(file_name(path, number, false))?.len();
                let _ = segment.length.set(length);
            }
            segments.rotated.push_back(Rotated {
                segment,
                number,
                packed,
            });
            segments.current = Segment::new(segments.current.sequence.saturating_add(1));
        }
        Ok(segments)
    }

    /// The segment that is written to.
    pub(super) fn current(&self) -> u64 {
        self.current.sequence
    }

    /// The oldest segment that is left.
    pub(super) fn oldest(&self) -> u64 {
        self.rotated
            .front()
            .map_or(self.current.sequence, |rotated| rotated.segment.sequence)
    }

    /// Begins a new current file, after `length` bytes of the one before, with at most `files` in all. What fails
    /// leaves the files as they were but for their numbers. Blocks on the disk.
    pub(super) fn rotate(&mut self, files: usize, length: u64) -> io::Result<()> {
        let kept = files.saturating_sub(1);
        while self.rotated.len() >= kept.max(1) {
            let Some(oldest) = self.rotated.front() else { break };
            remove(&file_name(&self.path, oldest.number, oldest.packed))?;
            self.rotated.pop_front();
        }
        let mut number = self.rotated.len() as u64;
        for rotated in &mut self.rotated {
            let target = number.saturating_add(1);
            if rotated.number < target {
                std::fs::rename(
                    file_name(&self.path, rotated.number, rotated.packed),
                    file_name(&self.path, target, rotated.packed),
                )?;
                rotated.number = target;
            }
            number = number.saturating_sub(1);
        }
        let next = Segment::new(self.current.sequence.saturating_add(1));
        if kept == 0 {
            // Readers that are in the file go on in it.
            remove(&self.path)?;
        } else {
            match std::fs::rename(&self.path, file_name(&self.path, 1, false)) {
                // Somebody deleted it: what follows is a new file all the same.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        let _ = self.current.length.set(length);
        let segment = std::mem::replace(&mut self.current, next);
        if kept > 0 {
            self.rotated.push_back(Rotated {
                segment,
                number: 1,
                packed: false,
            });
        }
        Ok(())
    }

    /// Opens the segment of this number, or the first after it that is left. `None` where there is none, or where
    /// nothing was written to the last.
    pub(super) fn open(&self, sequence: u64) -> io::Result<Option<Opened>> {
        let rotated = self
            .rotated
            .iter()
            .find(|rotated| rotated.segment.sequence >= sequence);
        let (segment, path, packed) = match rotated {
            Some(rotated) => (
                &rotated.segment,
                file_name(&self.path, rotated.number, rotated.packed),
                rotated.packed,
            ),
            None => (&self.current, self.path.clone(), false),
        };
        match File::open(path) {
            Ok(file) => Ok(Some(Opened {
                segment: segment.clone(),
                file,
                packed,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The oldest rotated segment that is not packed, and where to pack it.
    pub(super) fn unpacked(&self) -> io::Result<Option<(u64, File, PathBuf)>> {
        let Some(rotated) = self.rotated.iter().find(|rotated| !rotated.packed) else {
            return Ok(None);
        };
        let file = File::open(file_name(&self.path, rotated.number, false))?;
        Ok(Some((rotated.segment.sequence, file, unfinished(&self.path))))
    }

    /// Puts what was packed in the place of its segment, unless that was dropped meanwhile.
    pub(super) fn packed(&mut self, sequence: u64, packed: &Path) -> io::Result<()> {
        let of_it = |rotated: &&mut Rotated| rotated.segment.sequence == sequence;
        let Some(rotated) = self.rotated.iter_mut().find(of_it) else {
            return remove(packed);
        };
        std::fs::rename(packed, file_name(&self.path, rotated.number, true))?;
        rotated.packed = true;
        remove(&file_name(&self.path, rotated.number, false))
    }
}

fn file_name(path: &Path, number: u64, packed: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{}", if packed { ".gz" } else { "" }));
    PathBuf::from(name)
}

/// Where a file is packed.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz.part");
    PathBuf::from(name)
}

/// The number in the name of a rotated file, and whether it is packed.
fn rotated_name(path: &Path, name: &str) -> Option<(u64, bool)> {
    let rest = name
        .strip_prefix(path.file_name()?.to_str()?)?
        .strip_prefix('.')?;
    let (digits, packed) = match rest.strip_suffix(".gz") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let number: u64 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some((number, packed))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The contents of all files in the order of the log.
    fn contents(segments: &Segments) -> Vec<String> {
        let mut all = Vec::new();
        let mut next = segments.oldest();
        while let Some(mut opened) = segments.open(next).unwrap() {
            let mut text = String::new();
            opened.file.read_to_string(&mut text).unwrap();
            all.push(text);
            next = opened.segment.sequence + 1;
            if next > segments.current() {
                break;
            }
        }
        all
    }

    #[test]
    fn a_rotation_keeps_so_many_files_and_drops_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut segments = Segments::find(&path).unwrap();
        for text in ["a", "b", "c", "d"] {
            std::fs::write(&path, text).unwrap();
            segments.rotate(3, 1).unwrap();
        }
        std::fs::write(&path, "e").unwrap();
        assert_eq!(names(folder.path()), ["log", "log.1", "log.2"]);
        assert_eq!(contents(&segments), ["c", "d", "e"]);
        assert_eq!(contents(&Segments::find(&path).unwrap()), ["c", "d", "e"]);
    }

    #[test]
    fn with_one_file_a_rotation_begins_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut segments = Segments::find(&path).unwrap();
        std::fs::write(&path, "a").unwrap();
        segments.rotate(1, 1).unwrap();
        assert!(names(folder.path()).is_empty());
        assert_eq!(segments.current(), 1);
    }

    #[test]
    fn a_packed_file_takes_the_place_of_its_segment_wherever_that_was_renamed_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut segments = Segments::find(&path).unwrap();
        std::fs::write(&path, "a").unwrap();
        segments.rotate(4, 1).unwrap();
        let (sequence, _, part) = segments.unpacked().unwrap().unwrap();
        std::fs::write(&part, "packed a").unwrap();
        std::fs::write(&path, "b").unwrap();
        segments.rotate(4, 1).unwrap();
        segments.packed(sequence, &part).unwrap();
        assert_eq!(names(folder.path()), ["log.1", "log.2.gz"]);
        assert_eq!(segments.unpacked().unwrap().unwrap().0, 1);
    }

    #[test]
    fn what_was_packed_of_a_dropped_segment_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut segments = Segments::find(&path).unwrap();
        std::fs::write(&path, "a").unwrap();
        segments.rotate(2, 1).unwrap();
        let (sequence, _, part) = segments.unpacked().unwrap().unwrap();
        std::fs::write(&part, "packed a").unwrap();
        std::fs::write(&path, "b").unwrap();
        segments.rotate(2, 1).unwrap();
        segments.packed(sequence, &part).unwrap();
        assert_eq!(names(folder.path()), ["log.1"]);
    }

    #[test]
    fn a_file_that_is_there_packed_and_unpacked_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for name in ["log", "log.1", "log.1.gz", "log.gz.part", "log.01", "log.x"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(contents(&Segments::find(&path).unwrap()), ["log.1.gz", "log"]);
        assert_eq!(names(folder.path()), ["log", "log.01", "log.1.gz", "log.x"]);
    }

    /// What a rotation does, one step a time, as far as `steps`.
    fn interrupted(folder: &Path, kept: u64, steps: usize) {
        let name = |number: u64| folder.join(format!("log.{number}"));
        let mut done = 0;
        let mut step = |action: &dyn Fn()| {
            if done < steps {
                action();
            }
            done += 1;
        };
        step(&|| std::fs::remove_file(name(kept)).unwrap());
        for number in (1..kept).rev() {
            step(&|| std::fs::rename(name(number), name(number + 1)).unwrap());
        }
        step(&|| std::fs::rename(folder.join("log"), name(1)).unwrap());
    }

    proptest! {
        #[test]
        fn a_rotation_that_is_killed_on_the_way_loses_and_doubles_nothing(
            kept in 1u64..6,
            steps in 0usize..8,
            later in 1usize..4,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            for number in 1..=kept {
                std::fs::write(folder.path().join(format!("log.{number}")), (100 - number).to_string()).unwrap();
            }
            std::fs::write(&path, "100").unwrap();
            interrupted(folder.path(), kept, steps);
            let mut segments = Segments::find(&path).unwrap();
            let dropped = u64::from(steps > 0);
            let expected: Vec<String> = (100 - kept + dropped..=100).map(|number| number.to_string()).collect();
            prop_assert_eq!(contents(&segments), expected.clone());
            // Rotations that come after keep as much as they may, in order.
            let files = usize::try_from(kept).unwrap() + 1;
            let mut all = expected;
            if !path.exists() {
                std::fs::write(&path, "101").unwrap();
                all.push("101".to_owned());
            }
            for number in 0..later {
                segments.rotate(files, 3).unwrap();
                let text = format!("{}", 200 + number);
                std::fs::write(&path, &text).unwrap();
                all.push(text);
            }
            let expected = &all[all.len().saturating_sub(files)..];
            prop_assert_eq!(contents(&segments), expected);
            prop_assert_eq!(contents(&Segments::find(&path).unwrap()), expected);
        }
    }
}
