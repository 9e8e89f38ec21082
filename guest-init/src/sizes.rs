//! How much containers and volumes hold on the data disk, counted as Docker counts it (moby `daemon/internal/directory`):
//! the lengths of files, a file of several names once, directories not at all.
//!
//! A container can make as many files and as deep directories as it likes, also while they are being counted. So the
//! count has bounds, and what goes over one is told as unknown.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use protocol::{Reply, Sizes};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use crate::boot::{CONTAINERS, VOLUMES};

/// How long all of one request may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long one container or volume may take, so that the others have their turn.
const PATIENCE_FOR_ONE: Duration = Duration::from_secs(10);
/// Directories inside each other; each is a descriptor.
const DEEPEST: usize = 1024;
/// Files of several names that are told apart.
const MOST_LINKED: usize = 1 << 19;
/// Entries between two looks at the clock.
const STRIDE: u32 = 512;

/// Where the runtime has `/etc/mtab` lead.
const MTAB: &[u8] = b"/proc/mounts";

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The answer to a request whose names were checked.
pub(crate) fn of_all(containers: &[String], volumes: &[String]) -> Reply {
    let end = deadline(PATIENCE);
    let one = |path: PathBuf| of(&path, end.min(deadline(PATIENCE_FOR_ONE))).ok();
    Reply::Sizes(Sizes {
        containers: containers
            .iter()
            .map(|id| {
                let upper = Path::new(CONTAINERS).join(id).join("upper");
                let runtimes = runtimes_own(&upper);
                Some(one(upper)?.saturating_sub(runtimes))
            })
            .collect(),
        volumes: volumes
            .iter()
            .map(|name| one(Path::new(VOLUMES).join(name).join("_data")))
            .collect(),
    })
}

/// Bytes that the runtime put into an upper directory: of all that it makes in there, one link alone is not empty.
fn runtimes_own(upper: &Path) -> u64 {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let link = openat(CWD, upper, DIRECTORY, Mode::empty())
        .and_then(|upper| openat2(upper, "etc", DIRECTORY, Mode::empty(), flags))
        .and_then(|etc| readlinkat(etc, "mtab", Vec::new()));
    match link {
        Ok(target) if target.to_bytes() == MTAB => MTAB.len() as u64,
        _ => 0,
    }
}

fn deadline(patience: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(patience).unwrap_or(now)
}

/// The bytes below a directory; none if there is no such directory.
fn of(root: &Path, end: Instant) -> Result<u64, Errno> {
    let root = match openat(CWD, root, DIRECTORY, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(0),
        Err(errno) => return Err(errno),
    };
    let mut count = Count {
        device: fstat(&root)?.st_dev,
        linked: HashSet::new(),
        entries: 0,
        bytes: 0,
        end,
    };
    let mut levels = vec![Dir::new(root)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.next() else {
            levels.pop();
            continue;
        };
        if let Some(inner) = count.take(level, &entry?)? {
            if levels.len() >= DEEPEST {
                return Err(Errno::NAMETOOLONG);
            }
            levels.push(Dir::new(inner)?);
        }
    }
    Ok(count.bytes)
}

/// What was counted so far.
struct Count {
    device: u64,
    /// Inodes of files with several names.
    linked: HashSet<u64>,
    entries: u32,
    bytes: u64,
    end: Instant,
}

impl Count {
    /// Counts an entry of a directory. One that is a directory itself is opened, if it is of the same file system.
    fn take(&mut self, level: &Dir, entry: &rustix::fs::DirEntry) -> Result<Option<OwnedFd>, Errno> {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            return Ok(None);
        }
        self.entries = self.entries.wrapping_add(1);
        if self.entries.is_multiple_of(STRIDE) && Instant::now() >= self.end {
            return Err(Errno::TIMEDOUT);
        }
        let parent = level.fd()?;
        let status = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            // Gone since its directory was read.
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if status.st_dev != self.device {
            return Ok(None);
        }
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            return match openat(parent, name, DIRECTORY, Mode::empty()) {
                Ok(inner) => Ok(Some(inner)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                Err(errno) => Err(errno),
            };
        }
        if status.st_nlink > 1 && !self.linked.insert(status.st_ino) {
            return Ok(None);
        }
        if self.linked.len() > MOST_LINKED {
            return Err(Errno::NOMEM);
        }
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(status.st_size).unwrap_or(0));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::mkdirat;

    use super::*;

    fn later() -> Instant {
        deadline(Duration::from_secs(600))
    }

    #[test]
    fn files_are_counted_by_their_length_and_those_of_several_names_once() {
        let base = tempfile::tempdir().unwrap();
        let inner = base.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("five"), "12345").unwrap();
        fs::hard_link(inner.join("five"), base.path().join("again")).unwrap();
        // A file with a hole is as long as it says.
        fs::File::create(base.path().join("sparse"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        symlink("/etc/passwd", base.path().join("link")).unwrap();
        let link = "/etc/passwd".len() as u64;
        assert_eq!(of(base.path(), later()), Ok(5 + (1 << 30) + link));
    }

    #[test]
    fn the_link_that_the_runtime_makes_is_known() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(runtimes_own(base.path()), 0);
        fs::create_dir(base.path().join("etc")).unwrap();
        symlink("/proc/mounts", base.path().join("etc/mtab")).unwrap();
        assert_eq!(of(base.path(), later()), Ok(runtimes_own(base.path())));
    }

    #[test]
    fn what_is_not_there_holds_nothing() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(of(&base.path().join("none"), later()), Ok(0));
    }

    #[test]
    fn a_link_in_the_place_of_the_directory_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        symlink("/etc", base.path().join("upper")).unwrap();
        assert!(of(&base.path().join("upper"), later()).is_err());
    }

    #[test]
    fn a_tree_that_is_too_deep_is_not_guessed_at() {
        let base = tempfile::tempdir().unwrap();
        let mut place = openat(CWD, base.path(), DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..=DEEPEST {
            mkdirat(&place, "d", Mode::from_raw_mode(0o755)).unwrap();
            place = openat(&place, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        assert!(of(base.path(), later()).is_err());
        crate::trash::empty_directory(&openat(CWD, base.path(), DIRECTORY, Mode::empty()).unwrap()).unwrap();
    }

    #[test]
    fn a_count_that_takes_too_long_is_given_up() {
        let base = tempfile::tempdir().unwrap();
        for number in 0..STRIDE {
            fs::write(base.path().join(number.to_string()), "x").unwrap();
        }
        assert_eq!(of(base.path(), Instant::now()), Err(Errno::TIMEDOUT));
        assert_eq!(of(base.path(), later()), Ok(u64::from(STRIDE)));
    }
}
