//! What containers and volumes held when their machine stopped, in a file beside its data disk.
//!
//! The file is stamped with the time at which the data disk was written last. A machine that ran after that has written
//! to the disk, at the latest when it mounted it, so a stamp that is still right says that nothing has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// What is to be counted: containers by their IDs, volumes by those of their directories.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToCount {
    pub(crate) containers: Vec<String>,
    pub(crate) volumes: Vec<String>,
}

impl ToCount {
    pub(crate) fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.volumes.is_empty()
    }
}

/// Bytes, by the names of [`ToCount`]. `None` could not be counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) containers: BTreeMap<String, Option<u64>>,
    pub(crate) volumes: BTreeMap<String, Option<u64>>,
}

impl Counted {
    fn has_all(&self, wanted: &ToCount) -> bool {
        wanted
            .containers
            .iter()
            .all(|id| self.containers.contains_key(id))
            && wanted.volumes.iter().all(|id| self.volumes.contains_key(id))
    }
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    /// Nanoseconds since the Unix epoch.
    disk_written_ns: u64,
    counted: Counted,
}

/// Keeps what was counted when the machine stopped. What cannot be kept is counted anew another time.
pub(super) fn remember(directory: &Path, disk: &Path, counted: Counted) {
    let Some(disk_written_ns) = written(disk) else {
        return;
    };
    let kept = serde_json::to_vec(&Remembered {
        disk_written_ns,
        counted,
    })
    .map_err(std::io::Error::other)
    .and_then(|text| {
        let new = directory.join("sizes.json.new");
        fs::write(&new, text)?;
        fs::rename(new, path(directory))
    });
    if let Err(error) = kept {
        tracing::warn!(%error, directory = %directory.display(), "the sizes of containers are not remembered");
    }
}

/// What was counted when the machine stopped, if nothing changed after that and all of it is known.
pub(super) fn recall(directory: &Path, disk: &Path, wanted: &ToCount) -> Option<Counted> {
    let path = path(directory);
    if fs::metadata(&path).ok()?.len() > LONGEST {
        return None;
    }
    let remembered: Remembered = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let valid = Some(remembered.disk_written_ns) == written(disk) && remembered.counted.has_all(wanted);
    valid.then_some(remembered.counted)
}

fn path(directory: &Path) -> PathBuf {
    directory.join("sizes.json")
}

/// When a file was written last.
fn written(path: &Path) -> Option<u64> {
    let time = fs::metadata(path).ok()?.modified().ok()?;
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_counted_holds_until_the_disk_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("data.img");
        fs::write(&disk, "x").unwrap();
        let counted = Counted {
            containers: BTreeMap::from([("a".to_owned(), Some(5)), ("b".to_owned(), None)]),
            volumes: BTreeMap::new(),
        };
        let wanted = |ids: &[&str]| ToCount {
            containers: ids.iter().map(|id| (*id).to_owned()).collect(),
            volumes: Vec::new(),
        };
        assert_eq!(recall(folder.path(), &disk, &wanted(&["a"])), None);
        remember(folder.path(), &disk, counted.clone());
        assert_eq!(recall(folder.path(), &disk, &wanted(&["a", "b"])), Some(counted));
        assert_eq!(recall(folder.path(), &disk, &wanted(&["a", "c"])), None);
        let later = fs::metadata(&disk).unwrap().modified().unwrap() + Duration::from_nanos(1000);
        fs::File::options()
            .write(true)
            .open(&disk)
            .unwrap()
            .set_modified(later)
            .unwrap();
        assert_eq!(recall(folder.path(), &disk, &wanted(&["a"])), None);
    }
}
