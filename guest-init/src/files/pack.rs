//! Writing tars: of a path, of the whole root, or of what a container wrote (POSIX pax, IEEE 1003.1, "pax Interchange
//! Format"). Whatever is read may change meanwhile: a file is as long as it was when its header was written.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use protocol::PathStat;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, open, openat, readlinkat,
    statat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::changes::{self, OPAQUE_WHITEOUT, WHITEOUT_PREFIX};
use super::stat::{self, mtime};
use crate::container::mounting::cleaned;
use crate::failure::{Context, Outcome};

const DEEPEST: usize = 4096;
/// Files with several names whose first one is remembered.
const MOST_LINKED: usize = 1 << 16;
const LARGEST_ATTRIBUTE: usize = 64 << 10;
/// What fits into the name and link fields of a header.
const NAME_FIELD: usize = 100;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Something to be packed, under a name of its own.
pub(super) struct Source {
    parent: OwnedFd,
    name: CString,
    prefix: Vec<u8>,
}

/// Looks at what is to be packed.
pub(super) fn source(path: &str) -> Outcome<(PathStat, Source)> {
    let stat = stat::stat(path)?;
    let clean = cleaned(path);
    if path.ends_with('/') {
        // What a link leads to, as with a dot after it.
        return source(&format!("{path}."));
    }
    if path.ends_with("/.") {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let source = Source {
            parent: open(&clean, flags, Mode::empty()).context(|| path.to_owned())?,
            name: c".".to_owned(),
            prefix: b".".to_vec(),
        };
        return Ok((stat, source));
    }
    let parent = clean.parent().unwrap_or(std::path::Path::new("/"));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = open(parent, flags, Mode::empty()).context(|| path.to_owned())?;
    let name = clean.file_name().map_or(&b"."[..], |name| name.as_bytes());
    let source = Source {
        parent,
        name: CString::new(name).map_err(|_| crate::failure::invalid("a NUL in the path"))?,
        prefix: name.to_vec(),
    };
    Ok((stat, source))
}

/// Packs one path with everything below it.
pub(super) fn pack(source: Source, out: &mut impl Write) -> io::Result<()> {
    let mut packer = Packer::new(out, false);
    packer.tree(&source.parent, &source.name, source.prefix)?;
    packer.finish()
}

/// Packs the root without what is mounted in it.
pub(super) fn whole(out: &mut impl Write) -> io::Result<()> {
    let root = open("/", DIRECTORY, Mode::empty())?;
    let device = statat(CWD, "/", AtFlags::empty())?.st_dev;
    let mut packer = Packer::new(out, false);
    packer.device = Some(device);
    packer.below(root, Vec::new())?;
    packer.finish()
}

/// Packs what a container wrote, as a layer.
pub(super) fn diff(upper: &OwnedFd, out: &mut impl Write) -> io::Result<()> {
    let mut packer = Packer::new(out, true);
    packer.below(openat(upper, ".", DIRECTORY, Mode::empty())?, Vec::new())?;
    packer.finish()
}

struct Packer<'a, W: Write> {
    builder: Builder<&'a mut W>,
    linked: HashMap<(u64, u64), Vec<u8>>,
    /// Whether it is the upper directory of an overlay that is packed.
    layer: bool,
    /// Other file systems than this are passed over.
    device: Option<u64>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(out: &'a mut W, layer: bool) -> Self {
        Self {
            builder: Builder::new(out),
            linked: HashMap::new(),
            layer,
            device: None,
        }
    }

    fn finish(self) -> io::Result<()> {
        self.builder.into_inner().map(drop)
    }

    /// One entry and everything below it.
    fn tree(&mut self, parent: &OwnedFd, name: &CStr, path: Vec<u8>) -> io::Result<()> {
        match self.entry(parent, name, &path)? {
            Some(directory) => self.below(directory, path),
            None => Ok(()),
        }
    }

    /// Everything in a directory, however deep.
    fn below(&mut self, directory: OwnedFd, path: Vec<u8>) -> io::Result<()> {
        let mut levels = vec![(names(&directory)?, directory, path)];
        while let Some((names, directory, path)) = levels.last_mut() {
            let Some(name) = names.pop() else {
                levels.pop();
                continue;
            };
            let mut inner = path.clone();
            if !inner.is_empty() {
                inner.push(b'/');
            }
            inner.extend(name.to_bytes());
            if self.layer && changes::is_runtimes_own(directory, &name, &inner) {
                continue;
            }
            let entered = match self.entry(directory, &name, &inner) {
                // Gone since its directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                other => other?,
            };
            if let Some(below) = entered {
                if levels.len() >= DEEPEST {
                    return Err(Errno::NAMETOOLONG.into());
                }
                levels.push((self::names(&below)?, below, inner));
            }
        }
        Ok(())
    }

    /// One entry. A directory comes back to be gone through.
    fn entry(&mut self, parent: &OwnedFd, name: &CStr, path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let status = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if self.device.is_some_and(|device| device != status.st_dev) {
            return self.mount_point(&status, path);
        }
        let kind = FileType::from_raw_mode(status.st_mode);
        if self.layer && changes::is_whiteout(&status) {
            return self.whiteout(path).map(|()| None);
        }
        // A tar has no sockets.
        if kind == FileType::Socket {
            return Ok(None);
        }
        let mut header = header(&status);
        if kind != FileType::Directory && status.st_nlink > 1 {
            let key = (status.st_dev, status.st_ino);
            if let Some(first) = self.linked.get(&key).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.append(header, path, &first, &[], io::empty()).map(|()| None);
            }
            if self.linked.len() < MOST_LINKED {
                self.linked.insert(key, path.to_vec());
            }
        }
        match kind {
            FileType::Directory => {
                let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
                header.set_entry_type(EntryType::Directory);
                let mut with_slash = path.to_vec();
                with_slash.push(b'/');
                self.append(header, &with_slash, &[], &attributes(&directory)?, io::empty())?;
                if self.layer && changes::is_opaque(&directory) {
                    with_slash.extend(OPAQUE_WHITEOUT);
                    self.plain(&with_slash)?;
                }
                return Ok(Some(directory));
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat(parent, name, flags, Mode::empty())?;
                let opened = fstat(&file)?;
                if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino) {
                    // Something else by now, and perhaps a device.
                    return Ok(None);
                }
                let size = u64::try_from(status.st_size).unwrap_or(0);
                header.set_entry_type(EntryType::Regular);
                header.set_size(size);
                let attributes = attributes(&file)?;
                let content = File::from(file).chain(io::repeat(0)).take(size);
                self.append(header, path, &[], &attributes, content)?;
            }
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new())?;
                header.set_entry_type(EntryType::Symlink);
                self.append(header, path, target.to_bytes(), &[], io::empty())?;
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                header.set_entry_type(if kind == FileType::BlockDevice {
                    EntryType::Block
                } else {
                    EntryType::Char
                });
                header.set_device_major(rustix::fs::major(status.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(status.st_rdev))?;
                self.append(header, path, &[], &[], io::empty())?;
            }
            FileType::Fifo => {
                header.set_entry_type(EntryType::Fifo);
                self.append(header, path, &[], &[], io::empty())?;
            }
            _ => {}
        }
        Ok(None)
    }

    /// What is mounted somewhere shows as an empty file or directory.
    fn mount_point(&mut self, status: &Stat, path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let mut header = header(status);
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            header.set_entry_type(EntryType::Directory);
            let mut with_slash = path.to_vec();
            with_slash.push(b'/');
            self.append(header, &with_slash, &[], &[], io::empty())?;
        } else {
            header.set_entry_type(EntryType::Regular);
            self.append(header, path, &[], &[], io::empty())?;
        }
        Ok(None)
    }

    /// `.wh.NAME` in the place of what was removed.
    fn whiteout(&mut self, path: &[u8]) -> io::Result<()> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let folder = path
            .get(..path.len().saturating_sub(name.len()))
            .unwrap_or_default();
        let hidden = [folder, WHITEOUT_PREFIX, name].concat();
        self.plain(&hidden)
    }

    /// An empty file that only means something.
    fn plain(&mut self, path: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        self.append(header, path, &[], &[], io::empty())
    }

    fn append(
        &mut self,
        mut header: Header,
        path: &[u8],
        link: &[u8],
        attributes: &[(String, Vec<u8>)],
        content: impl Read,
    ) -> io::Result<()> {
        let mut extensions: Vec<(&str, &[u8])> = Vec::new();
        if path.len() > NAME_FIELD {
            extensions.push(("path", path));
        }
        if link.len() > NAME_FIELD {
            extensions.push(("linkpath", link));
        }
        extensions.extend(
            attributes
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice())),
        );
        if !extensions.is_empty() {
            self.builder.append_pax_extensions(extensions)?;
        }
        let fields = header.as_old_mut();
        for (field, value) in [(&mut fields.name, path), (&mut fields.linkname, link)] {
            for (place, byte) in field.iter_mut().zip(value) {
                *place = *byte;
            }
        }
        header.set_cksum();
        self.builder.append(&header, content)
    }
}

fn header(status: &Stat) -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(status.st_mode & 0o7777);
    header.set_uid(status.st_uid.into());
    header.set_gid(status.st_gid.into());
    header.set_mtime(u64::try_from(mtime(status) / 1_000_000_000).unwrap_or(0));
    header.set_size(0);
    header
}

/// The names in a directory, the last first, so that they are taken in order.
fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable_by(|first, second| second.cmp(first));
    Ok(names)
}

/// Extended attributes as pax records. Those of the overlay itself are nobody's business.
fn attributes(file: &impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut list = vec![0; LARGEST_ATTRIBUTE];
    let length = match flistxattr(file, &mut list) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut attributes = Vec::new();
    for name in list.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        let Ok(text) = std::str::from_utf8(name) else {
            continue;
        };
        if text.is_empty() || text.starts_with("trusted.overlay.") || text.starts_with("system.") {
            continue;
        }
        let mut value = vec![0; LARGEST_ATTRIBUTE];
        match fgetxattr(file, name, &mut value) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(errno.into()),
        }
        attributes.push((format!("SCHILY.xattr.{text}"), value));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entries(tar: &[u8]) -> Vec<(String, EntryType, u64)> {
        tar::Archive::new(tar)
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                (path, entry.header().entry_type(), entry.size())
            })
            .collect()
    }

    #[test]
    fn a_directory_is_packed_under_its_own_name_and_with_a_dot_under_that() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("data");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("sub/file"), "12345").unwrap();
        fs::hard_link(folder.join("sub/file"), folder.join("sub/again")).unwrap();
        for (suffix, prefix) in [("", "data"), ("/.", ".")] {
            let path = format!("{}{suffix}", folder.display());
            let mut tar = Vec::new();
            pack(source(&path).unwrap().1, &mut tar).unwrap();
            assert_eq!(
                entries(&tar),
                [
                    (format!("{prefix}/"), EntryType::Directory, 0),
                    (format!("{prefix}/sub/"), EntryType::Directory, 0),
                    (format!("{prefix}/sub/again"), EntryType::Regular, 5),
                    (format!("{prefix}/sub/file"), EntryType::Link, 0),
                ]
            );
        }
    }

    #[test]
    fn a_name_of_any_length_survives() {
        let base = tempfile::tempdir().unwrap();
        let name = "n".repeat(200);
        fs::write(base.path().join(&name), "x").unwrap();
        let mut tar = Vec::new();
        let path = format!("{}/.", base.path().display());
        pack(source(&path).unwrap().1, &mut tar).unwrap();
        assert_eq!(entries(&tar)[1].0, format!("./{name}"));
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_does_not_spoil_the_tar() {
        let mut tar = Vec::new();
        let mut packer = Packer::new(&mut tar, false);
        let mut header = Header::new_ustar();
        header.set_size(5);
        header.set_mtime(0);
        packer
            .append(header, b"a", b"", &[], b"12".chain(io::repeat(0)).take(5))
            .unwrap();
        packer.plain(b"b").unwrap();
        packer.finish().unwrap();
        assert_eq!(entries(&tar).len(), 2);
    }
}
