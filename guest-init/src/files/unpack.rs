//! Unpacking a tar into a container (`PUT /containers/{id}/archive`; moby `pkg/archive`, `Unpack`).
//!
//! This process is inside the container: the worst that a path can do is to lead to another place of the same
//! container. Names with `..` are refused all the same.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fsetxattr, linkat, makedev, mkdirat, mknodat, open, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use crate::container::mounting::cleaned;
use crate::container::user;
use crate::failure::{Context, Outcome, failure, invalid};

const BUFFER: usize = 256 << 10;
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Directories whose times are set in the end; those of more stay as they come.
const MOST_DIRECTORIES: usize = 1 << 20;
/// Directories inside each other that are removed.
const DEEPEST: usize = 4096;

/// The directory to unpack into.
pub(super) fn target(path: &str) -> Outcome<OwnedFd> {
    let clean = cleaned(path);
    match open(&clean, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => Err(failure(
            protocol::FailureKind::ProgramNotFound,
            format!("Could not find the file {path}"),
        )),
        Err(Errno::NOTDIR) => Err(invalid("extraction point is not a directory")),
        other => other.context(|| path.to_owned()),
    }
}

/// The user and group of a `--user` text.
pub(super) fn owner(text: &str) -> Outcome<(u32, u32)> {
    let identity = user::resolve(text, &[])?;
    Ok((identity.uid, identity.gid))
}

/// Unpacks a stream.
pub(super) fn unpack(
    stream: BufWriter<File>,
    target: &OwnedFd,
    keep_kinds: bool,
    owner: Option<(u32, u32)>,
) -> Outcome<()> {
    let file = stream
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .context(|| "the stream".to_owned())?;
    unpack_from(BufReader::with_capacity(BUFFER, file), target, keep_kinds, owner)
}

fn unpack_from(
    stream: impl Read,
    target: &OwnedFd,
    keep_kinds: bool,
    owner: Option<(u32, u32)>,
) -> Outcome<()> {
    let bad = |error: io::Error| invalid(format!("Error processing tar file: {error}"));
    let mut archive = Archive::new(stream);
    let mut directories = Vec::new();
    for entry in archive.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        let path = relative(&entry.path_bytes())?;
        if path.as_os_str().is_empty() {
            continue;
        }
        let name = path.display().to_string();
        let is_directory = entry.header().entry_type().is_dir();
        let made = make(&mut entry, target, &path, keep_kinds);
        if !made.map_err(|failed| failed.named(&name))? {
            continue;
        }
        dress(&mut entry, target, &path, owner).context(|| name.clone())?;
        let time = times(&entry);
        if is_directory && directories.len() < MOST_DIRECTORIES {
            directories.push((path, time));
        } else if !is_directory {
            utimensat(target, &path, &time, AtFlags::SYMLINK_NOFOLLOW).context(|| name)?;
        }
    }
    // Of a directory the time changes with each entry.
    for (path, time) in directories {
        let _ = utimensat(target, &path, &time, AtFlags::SYMLINK_NOFOLLOW);
    }
    Ok(())
}

/// Why an entry was not made.
enum Failed {
    Errno(Errno),
    Io(io::Error),
    Told(protocol::Failure),
}

impl Failed {
    fn named(self, name: &str) -> protocol::Failure {
        let error = match self {
            Self::Told(failure) => return failure,
            Self::Errno(errno) => errno.into(),
            Self::Io(error) => error,
        };
        match Err::<(), _>(error).context(|| name.to_owned()) {
            Err(failure) => failure,
            Ok(()) => invalid(name),
        }
    }
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A tar's name as a path below the target.
fn relative(name: &[u8]) -> Outcome<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(std::ffi::OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                let name = String::from_utf8_lossy(name);
                return Err(invalid(format!(
                    "Error processing tar file: {name:?} leads outside of the archive"
                )));
            }
        }
    }
    Ok(path)
}

/// Makes the entry in place of whatever is there. `false` is an entry that is nothing in a file system.
fn make(
    entry: &mut Entry<'_, impl Read>,
    target: &OwnedFd,
    path: &Path,
    keep_kinds: bool,
) -> Result<bool, Failed> {
    let kind = entry.header().entry_type();
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_parents(target, parent)?;
    }
    let there = match statat(target, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Some(FileType::from_raw_mode(status.st_mode)),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(errno.into()),
    };
    let is_directory = kind.is_dir();
    match there {
        Some(FileType::Directory) if is_directory => return Ok(true),
        Some(found) if keep_kinds && (found == FileType::Directory || is_directory) => {
            let (old, new) = if is_directory {
                ("non-directory", "directory")
            } else {
                ("directory", "non-directory")
            };
            let name = path.display();
            return Err(Failed::Told(invalid(format!(
                "cannot overwrite {old} \"/{name}\" with {new} \"/{name}\""
            ))));
        }
        Some(FileType::Directory) => remove_tree(target, path)?,
        Some(_) => unlinkat(target, path, AtFlags::empty())?,
        None => {}
    }
    let mode = Mode::from_raw_mode(entry.header().mode().unwrap_or(0o644) & 0o7777);
    match kind {
        EntryType::Directory => mkdirat(target, path, mode)?,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(target, path, flags, mode)?);
            io::copy(entry, &mut file)?;
            file.flush()?;
        }
        EntryType::Symlink => symlinkat(link(entry)?, target, path)?,
        EntryType::Link => {
            let first = relative(link(entry)?.as_bytes()).map_err(Failed::Told)?;
            linkat(target, &first, target, path, AtFlags::empty())?;
        }
        EntryType::Fifo => mknodat(target, path, FileType::Fifo, mode, 0)?,
        EntryType::Char | EntryType::Block => {
            let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
            let device = makedev(
                number(entry.header().device_major()),
                number(entry.header().device_minor()),
            );
            let kind = if kind == EntryType::Block {
                FileType::BlockDevice
            } else {
                FileType::CharacterDevice
            };
            mknodat(target, path, kind, mode, device)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn link(entry: &Entry<'_, impl Read>) -> Result<CString, Failed> {
    let bytes = entry.link_name_bytes().unwrap_or_default();
    CString::new(bytes.as_ref()).map_err(|_| Failed::Told(invalid("a NUL in a link's target")))
}

fn make_parents(target: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let mut prefix = PathBuf::new();
    for component in path.components() {
        prefix.push(component);
        match mkdirat(target, &prefix, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes a directory with all that is in it, however deep.
fn remove_tree(target: &OwnedFd, path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut levels = vec![(openat(target, path, flags, Mode::empty())?, CString::default())];
    while let Some((directory, _)) = levels.last() {
        let mut inner = None;
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match openat(directory, name, flags, Mode::empty()) {
                Ok(below) => {
                    inner = Some((below, name.to_owned()));
                    break;
                }
                Err(_) => unlinkat(directory, name, AtFlags::empty())?,
            }
        }
        match inner {
            Some(_) if levels.len() >= DEEPEST => return Err(Errno::NAMETOOLONG.into()),
            Some(inner) => levels.push(inner),
            None => {
                let Some((_, name)) = levels.pop() else { break };
                if let Some((parent, _)) = levels.last() {
                    unlinkat(parent, name.as_c_str(), AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    unlinkat(target, path, AtFlags::REMOVEDIR).map_err(io::Error::from)
}

/// Gives an entry its owner, mode and attributes.
fn dress(
    entry: &mut Entry<'_, impl Read>,
    target: &OwnedFd,
    path: &Path,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let header = entry.header();
    let number = |value: io::Result<u64>| u32::try_from(value.unwrap_or(0)).unwrap_or(0);
    let (uid, gid) = owner.unwrap_or((number(header.uid()), number(header.gid())));
    let kind = header.entry_type();
    if kind == EntryType::Link {
        return Ok(());
    }
    let mode = header.mode().unwrap_or(0o644) & 0o7777;
    chownat(
        target,
        path,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if kind != EntryType::Symlink {
        chmodat(target, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    if !matches!(kind, EntryType::Regular | EntryType::Directory) {
        return Ok(());
    }
    let mut attributes = Vec::new();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                attributes.push((CString::new(name)?, extension.value_bytes().to_vec()));
            }
        }
    }
    if attributes.is_empty() {
        return Ok(());
    }
    let file = openat(
        target,
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for (name, value) in attributes {
        match fsetxattr(&file, name.as_c_str(), &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn times(entry: &Entry<'_, impl Read>) -> Timestamps {
    let time = Timespec {
        tv_sec: i64::try_from(entry.header().mtime().unwrap_or(0)).unwrap_or(0),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(tar: &[u8], folder: &Path, keep_kinds: bool) -> Outcome<()> {
        let target = open(folder, DIRECTORY, Mode::empty()).unwrap();
        unpack_from(
            tar,
            &target,
            keep_kinds,
            Some((
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            )),
        )
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            let data = if *kind == EntryType::Regular {
                content.as_bytes()
            } else {
                b""
            };
            if *kind == EntryType::Symlink {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_directories_and_links_appear_with_their_parents() {
        let base = tempfile::tempdir().unwrap();
        let tar = archive(&[
            ("a/b/file", EntryType::Regular, "hello"),
            ("a/link", EntryType::Symlink, "b/file"),
        ]);
        unpacked(&tar, base.path(), false).unwrap();
        assert_eq!(fs::read_to_string(base.path().join("a/link")).unwrap(), "hello");
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let tar = archive(&[("../../evil", EntryType::Regular, "x")]);
        let failure = unpacked(&tar, base.path(), false).unwrap_err();
        assert!(failure.message.contains("leads outside"), "{}", failure.message);
    }

    #[test]
    fn a_directory_takes_the_place_of_a_file_only_where_that_is_allowed() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("x"), "").unwrap();
        let tar = archive(&[("x", EntryType::Directory, "")]);
        let failure = unpacked(&tar, base.path(), true).unwrap_err();
        assert_eq!(
            failure.message,
            "cannot overwrite non-directory \"/x\" with directory \"/x\""
        );
        unpacked(&tar, base.path(), false).unwrap();
        assert!(base.path().join("x").is_dir());
        fs::create_dir(base.path().join("x/inner")).unwrap();
        unpacked(&archive(&[("x", EntryType::Regular, "new")]), base.path(), false).unwrap();
        assert_eq!(fs::read_to_string(base.path().join("x")).unwrap(), "new");
    }

    #[test]
    fn a_target_that_is_a_file_is_refused_in_dockers_words() {
        let base = tempfile::NamedTempFile::new().unwrap();
        let failure = target(base.path().to_str().unwrap()).unwrap_err();
        assert_eq!(failure.message, "extraction point is not a directory");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let base = tempfile::tempdir().unwrap();
            let _ = unpacked(&bytes, base.path(), true);
        }
    }
}
