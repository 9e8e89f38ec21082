//! Deleting what a container left on the data disk.
//!
//! Removing is a rename into the trash, done at once; a forked child unlinks the files in the background, and
//! at the next boot if the machine stopped before. A container can make directories as deep as it likes, so
//! nothing here recurses: a directory inside another is first moved up into the trash itself.

use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ftruncate, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use crate::failure::{Context, Outcome};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Moves `directory` into the trash. `Ok(false)` says that there is no such directory.
pub(crate) fn throw_away(directory: &Path, trash: &Path) -> Outcome<bool> {
    for number in 0u64.. {
        let name = trash.join(format!("removed-{number}"));
        let here = rustix::fs::CWD;
        match renameat_with(here, directory, here, &name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(true),
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(errno).context(|| format!("{} could not be removed", directory.display()));
            }
        }
    }
    Ok(false)
}

/// Whether there is anything to unlink.
pub(crate) fn is_empty(trash: &Path) -> bool {
    std::fs::read_dir(trash).map_or(true, |mut entries| entries.next().is_none())
}

/// Unlinks everything in the trash. Ends when the trash is empty or nothing in it can be unlinked.
pub(crate) fn empty(trash: &Path) -> rustix::io::Result<()> {
    empty_directory(&openat(rustix::fs::CWD, trash, DIRECTORY, Mode::empty())?)
}

/// Unlinks everything in a directory, which stays.
pub(crate) fn empty_directory(trash: &rustix::fd::OwnedFd) -> rustix::io::Result<()> {
    let mut moved = 0u64;
    loop {
        let mut progress = false;
        for entry in Dir::read_from(trash)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            progress |= match openat(trash, name, DIRECTORY, Mode::empty()) {
                Ok(directory) => {
                    let emptied = empty_one(&directory, trash, &mut moved)?;
                    unlinkat(trash, name, AtFlags::REMOVEDIR).is_ok() || emptied
                }
                Err(_) => unlinkat(trash, name, AtFlags::empty()).is_ok(),
            };
        }
        if !progress {
            return Ok(());
        }
    }
}

/// Unlinks the files of one directory and moves its directories up into the trash. Says whether anything
/// changed.
fn empty_one(
    directory: &rustix::fd::OwnedFd,
    trash: &rustix::fd::OwnedFd,
    moved: &mut u64,
) -> rustix::io::Result<bool> {
    let mut changed = false;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        changed |= if entry.file_type() == FileType::Directory {
            // Names of an earlier run may be there still; a directory cannot replace one that is not empty.
            *moved = moved.saturating_add(1);
            renameat(
                directory,
                name,
                trash,
                format!("moved-{}-{moved}", rustix::process::getpid()),
            )
            .is_ok()
        } else {
            if entry.file_type() == FileType::RegularFile {
                release(directory, name);
            }
            unlinkat(directory, name, AtFlags::empty()).is_ok()
        };
    }
    Ok(changed)
}

/// Gives a file's blocks back now. The kernel takes the overlay of a container that has ended apart in its own time,
/// and an unlinked file keeps its blocks until then.
fn release(directory: &rustix::fd::OwnedFd, name: &std::ffi::CStr) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat(directory, name, flags, Mode::empty()) {
        // What cannot be cut short is unlinked all the same.
        let _ = ftruncate(&file, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_removed_directory_is_gone_from_its_place_at_once() {
        let base = tempfile::tempdir().unwrap();
        let (container, trash) = (base.path().join("c"), base.path().join("trash"));
        fs::create_dir(&trash).unwrap();
        for _ in 0..2 {
            fs::create_dir_all(container.join("upper/etc")).unwrap();
            assert!(throw_away(&container, &trash).unwrap());
            assert!(!container.exists() && !is_empty(&trash));
        }
        assert!(!throw_away(&container, &trash).unwrap());
        empty(&trash).unwrap();
        assert!(is_empty(&trash));
    }

    #[test]
    fn a_removed_file_that_is_still_open_has_no_blocks_any_more() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("removed-0")).unwrap();
        let path = base.path().join("removed-0/big");
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        let open = fs::File::open(&path).unwrap();
        empty(base.path()).unwrap();
        assert!(is_empty(base.path()));
        assert_eq!(open.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_tree_that_is_deeper_than_any_path_is_unlinked() {
        let base = tempfile::tempdir().unwrap();
        let mut place = openat(rustix::fs::CWD, base.path(), DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&place, "d", Mode::from_raw_mode(0o755)).unwrap();
            place = openat(&place, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        rustix::fs::symlinkat("/etc", &place, "link").unwrap();
        empty(base.path()).unwrap();
        assert!(is_empty(base.path()) && Path::new("/etc").exists());
    }
}
