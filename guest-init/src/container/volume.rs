//! Volumes: directories of the data disk that outlive containers, and the copy that an empty one gets of what the
//! image has at its mount point (moby `container/container_unix.go`, `CopyImagePathContent`).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use protocol::Mount;
use rustix::fs::{Dir, FlockOperation, Mode, OFlags, ResolveFlags, flock, mkdir, open, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::{mounting, tree};
use crate::boot::VOLUMES;
use crate::failure::{Context, Outcome, invalid};
use crate::sys::ioctl::{self, MountAttributes};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A volume on its way into a container.
pub(crate) struct Opened {
    /// A detached mount of what the container is to see.
    mount: OwnedFd,
    /// The same directory; `None` where nothing is to be copied into it.
    empty: Option<OwnedFd>,
    /// Locked for as long as it may be filled: two containers that start at once fill it once.
    _lock: Option<OwnedFd>,
}

/// Refuses what cannot be a volume's name before it becomes part of a path.
pub(crate) fn check_name(name: &str) -> Outcome<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let good = name.len() <= 255
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(plain);
    if good {
        Ok(())
    } else {
        Err(invalid(format!("{name:?} is no name of a volume")))
    }
}

/// Opens the volumes among these mounts, in their order, making those that are not there. Called while the data
/// disk can be seen.
pub(crate) fn open_all(mounts: &[Mount]) -> Outcome<Vec<Opened>> {
    let mut opened = Vec::new();
    for mount in mounts {
        if let Mount::Volume {
            name,
            read_only,
            copy_up,
            subpath,
            ..
        } = mount
        {
            opened.push(open_one(name, *read_only, *copy_up, subpath.as_deref())?);
        }
    }
    Ok(opened)
}

fn open_one(name: &str, read_only: bool, copy_up: bool, subpath: Option<&str>) -> Outcome<Opened> {
    check_name(name)?;
    let base = format!("{VOLUMES}/{name}");
    let data = format!("{base}/_data");
    for directory in [&base, &data] {
        match mkdir(directory.as_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).context(|| format!("mkdir {directory}")),
        }
    }
    let lock = if copy_up {
        let lock = open(base.as_str(), DIRECTORY, Mode::empty()).context(|| format!("open {base}"))?;
        flock(&lock, FlockOperation::LockExclusive).context(|| format!("volume {name:?}"))?;
        Some(lock)
    } else {
        None
    };
    let mut directory = open(data.as_str(), DIRECTORY, Mode::empty()).context(|| format!("open {data}"))?;
    if let Some(subpath) = subpath.filter(|subpath| !subpath.is_empty()) {
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        directory = openat2(&directory, subpath, DIRECTORY, Mode::empty(), flags)
            .context(|| format!("cannot access path {subpath:?} of volume {name:?}"))?;
    }
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(&directory, "", flags).context(|| format!("volume {name:?}"))?;
    // The data disk itself is mounted without set-user-ID programs and devices; a volume has what a root has.
    let attributes = MountAttributes {
        set: if read_only { ioctl::MOUNT_ATTR_RDONLY } else { 0 },
        clear: ioctl::MOUNT_ATTR_NOSUID | ioctl::MOUNT_ATTR_NODEV,
    };
    ioctl::set_mount_attributes(&mount, c"", false, attributes).context(|| format!("volume {name:?}"))?;
    let empty = (copy_up && is_empty(&directory).context(|| data.clone())?).then_some(directory);
    Ok(Opened {
        mount,
        empty,
        _lock: lock,
    })
}

fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(directory)? {
        // ext4 puts it into the root of a disk alone, but a volume that was made elsewhere may have it.
        if !matches!(entry?.file_name().to_bytes(), b"." | b".." | b"lost+found") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Mounts the volumes among these mounts on their targets, parents before children, without filling any. Targets that
/// are not there are made.
pub(crate) fn put_all(mounts: &[Mount], volumes: Vec<Opened>) -> Outcome<()> {
    let targets = mounts
        .iter()
        .filter(|mount| matches!(mount, Mount::Volume { .. }));
    let mut pairs: Vec<_> = targets
        .map(|mount| mounting::cleaned(mount.target()))
        .zip(volumes)
        .collect();
    pairs.sort_by_key(|(target, _)| target.components().count());
    for (path, mut volume) in pairs {
        volume.empty = None;
        volume.put(&mounting::directory(&path)?, &path)?;
    }
    Ok(())
}

impl Opened {
    /// Fills the volume if it is to be, and mounts it on `target`, which is the directory at `path`.
    pub(super) fn put(self, target: &OwnedFd, path: &Path) -> Outcome<()> {
        if let Some(empty) = &self.empty {
            let source = openat(target, ".", DIRECTORY, Mode::empty())
                .context(|| format!("open {}", path.display()))?;
            let copied = tree::copy(&source, empty);
            if copied.is_err() {
                // Half of it would be taken for all of it the next time.
                let _ = crate::trash::empty_directory(empty);
            }
            copied.context(|| {
                format!(
                    "the image's files in {} could not be copied into the volume",
                    path.display()
                )
            })?;
        }
        mounting::attach(self.mount.as_fd(), target).context(|| format!("mounting on {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        for name in ["", ".", "..", "../x", "a/b", "-a", &"a".repeat(256)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("pg_data-1.2").is_ok());
    }
}
