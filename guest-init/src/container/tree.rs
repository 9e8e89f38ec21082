//! Copying a directory tree with everything that a file system keeps of it: owners, modes, times, extended
//! attributes, symbolic links, device nodes, hard links.
//!
//! Every step is relative to an open directory and follows no symbolic link, so that a tree can lead nowhere else.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod,
    fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, openat, readlinkat,
    statat, symlinkat, utimensat,
};
use rustix::io::Errno;

/// Directories inside each other; an image can nest as deep as it likes.
const DEEPEST: usize = 4096;
/// Files with several names that are remembered, each by an open descriptor.
const MOST_LINKED: usize = 4096;
/// The most bytes of one extended attribute, and of their list (linux/limits.h).
const LARGEST_ATTRIBUTE: usize = 64 << 10;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory that is being copied.
struct Level {
    entries: Dir,
    from: OwnedFd,
    to: OwnedFd,
}

impl Level {
    fn new(from: OwnedFd, to: OwnedFd) -> Result<Self, Errno> {
        Ok(Self {
            entries: Dir::read_from(&from)?,
            from,
            to,
        })
    }
}

/// Copies what is in `from` into `to`, which gets the owner, mode and times of `from` too.
pub(crate) fn copy(from: &OwnedFd, to: &OwnedFd) -> std::io::Result<()> {
    let mut linked = HashMap::new();
    let mut levels = vec![Level::new(from.try_clone()?, to.try_clone()?)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.read().transpose()? else {
            dress(&level.from, &level.to)?;
            levels.pop();
            continue;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if let Some(inner) = copy_entry(level, name, &mut linked)? {
            if levels.len() >= DEEPEST {
                return Err(Errno::NAMETOOLONG.into());
            }
            levels.push(inner);
        }
    }
    Ok(())
}

/// Copies one entry; a directory comes back to be gone through.
fn copy_entry(
    level: &Level,
    name: &CStr,
    linked: &mut HashMap<(u64, u64), OwnedFd>,
) -> std::io::Result<Option<Level>> {
    let (from, to) = (&level.from, &level.to);
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    if kind == FileType::Directory {
        match mkdirat(to, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let inner = Level::new(
            openat(from, name, DIRECTORY, Mode::empty())?,
            openat(to, name, DIRECTORY, Mode::empty())?,
        )?;
        return Ok(Some(inner));
    }
    let key = (status.st_dev, status.st_ino);
    if status.st_nlink > 1
        && let Some(first) = linked.get(&key)
    {
        linkat(first, "", to, name, AtFlags::EMPTY_PATH)?;
        return Ok(None);
    }
    match kind {
        FileType::RegularFile => copy_file(from, to, name)?,
        FileType::Symlink => {
            let target: CString = readlinkat(from, name, Vec::new())?;
            symlinkat(target.as_c_str(), to, name)?;
            dress_by_name(&status, to, name)?;
        }
        _ => {
            mknodat(
                to,
                name,
                kind,
                Mode::from_raw_mode(status.st_mode & 0o7777),
                status.st_rdev,
            )?;
            dress_by_name(&status, to, name)?;
        }
    }
    if status.st_nlink > 1 && linked.len() < MOST_LINKED {
        let first = openat(
            to,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        linked.insert(key, first);
    }
    Ok(None)
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> std::io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let source = openat(from, name, OFlags::RDONLY | flags, Mode::empty())?;
    let target = openat(
        to,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | flags,
        Mode::from_raw_mode(0o600),
    )?;
    let (mut source, mut target) = (File::from(source), File::from(target));
    std::io::copy(&mut source, &mut target)?;
    dress(&source, &target)?;
    Ok(())
}

/// Gives an open file or directory the owner, mode, attributes and times of another.
fn dress(from: &impl AsFd, to: &impl AsFd) -> Result<(), Errno> {
    let status = fstat(from)?;
    fchown(
        to,
        Some(Uid::from_raw(status.st_uid)),
        Some(Gid::from_raw(status.st_gid)),
    )?;
    fchmod(to, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    copy_attributes(from, to)?;
    futimens(to, &times(&status))
}

/// The same for what cannot be opened.
fn dress_by_name(status: &Stat, to: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let (owner, group) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    chownat(to, name, Some(owner), Some(group), flags)?;
    utimensat(to, name, &times(status), flags)
}

fn times(status: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec),
        last_modification: time(status.st_mtime, status.st_mtime_nsec),
    }
}

/// Extended attributes, of which some cannot be set everywhere.
fn copy_attributes(from: &impl AsFd, to: &impl AsFd) -> Result<(), Errno> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let length = match flistxattr(from, &mut names) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut value = vec![0; LARGEST_ATTRIBUTE];
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let length = match fgetxattr(from, name, &mut value) {
            Ok(length) => length,
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(errno),
        };
        let value = value.get(..length).unwrap_or_default();
        match fsetxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use rustix::fs::{CWD, open};

    use super::*;

    #[test]
    fn a_copy_has_the_modes_links_and_times_of_the_original() {
        let base = tempfile::tempdir().unwrap();
        let (from, to) = (base.path().join("from"), base.path().join("to"));
        fs::create_dir_all(from.join("etc/conf.d")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("etc/run"), "#!").unwrap();
        fs::set_permissions(from.join("etc/run"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o1777)).unwrap();
        fs::hard_link(from.join("etc/run"), from.join("again")).unwrap();
        symlink("/nowhere", from.join("etc/link")).unwrap();
        let source = open(&from, DIRECTORY, Mode::empty()).unwrap();
        copy(&source, &open(&to, DIRECTORY, Mode::empty()).unwrap()).unwrap();
        let (original, copied) = (
            fs::metadata(from.join("etc/run")).unwrap(),
            fs::metadata(to.join("etc/run")).unwrap(),
        );
        assert_eq!(
            (copied.mode(), copied.mtime_nsec()),
            (original.mode(), original.mtime_nsec())
        );
        assert_eq!(copied.ino(), fs::metadata(to.join("again")).unwrap().ino());
        assert_eq!(
            fs::read_link(to.join("etc/link")).unwrap().to_str(),
            Some("/nowhere")
        );
        assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, 0o1777);
        assert!(to.join("etc/conf.d").is_dir());
    }

    #[test]
    fn a_tree_that_is_nested_too_deep_is_an_error_and_not_a_crash() {
        let base = tempfile::tempdir().unwrap();
        let (from, to) = (base.path().join("from"), base.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        let mut place = open(&from, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..DEEPEST {
            mkdirat(&place, "d", Mode::from_raw_mode(0o755)).unwrap();
            place = openat(&place, "d", DIRECTORY, Mode::empty()).unwrap();
        }
        let source = openat(CWD, &from, DIRECTORY, Mode::empty()).unwrap();
        assert!(copy(&source, &open(&to, DIRECTORY, Mode::empty()).unwrap()).is_err());
        // What is left is deeper than any path: only what knows that can take it away.
        for place in [&from, &to] {
            crate::trash::empty(place).unwrap();
        }
    }
}
