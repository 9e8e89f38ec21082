//! Mounts by descriptor (fsopen(2), fsmount(2), open_tree(2), move_mount(2)).
//!
//! A mount is made detached and put on a target that is a descriptor too, so that nothing between the check
//! of a path and the mount on it can be swapped.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use protocol::{Failure, FailureKind};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, mkdir, open, openat2, readlink};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::failure::{Context, Outcome, failure, invalid, text_of};

/// linux/magic.h
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// A detached mount of a new file system. A setting without a value is a flag. A setting that is given twice
/// is a list to the file system.
pub(crate) fn create(
    kind: &str,
    settings: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> Outcome<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).context(|| format!("file system {kind}"))?;
    let made = || {
        // The name in the first column of /proc/mounts.
        fsconfig_set_string(&context, "source", kind)?;
        for (name, value) in settings {
            match value {
                Some(value) => fsconfig_set_string(&context, *name, *value)?,
                None => fsconfig_set_flag(&context, *name)?,
            }
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    made().map_err(|errno| refused(kind, &context, errno))
}

/// Why a file system was not made: the kernel's own words, which it keeps for the reader of the descriptor.
fn refused(kind: &str, context: &OwnedFd, errno: Errno) -> Failure {
    let mut words = [0; 256];
    let length = rustix::io::read(context, &mut words).unwrap_or(0);
    let words = String::from_utf8_lossy(words.get(..length).unwrap_or_default()).into_owned();
    let kind_of_failure = match errno {
        Errno::NOMEM | Errno::NOSPC => FailureKind::Exhausted,
        Errno::INVAL => FailureKind::Invalid,
        _ => FailureKind::Internal,
    };
    let words = words.trim_end().trim_start_matches(['e', 'w', 'i']).trim_start();
    let separator = if words.is_empty() { "" } else { ": " };
    failure(
        kind_of_failure,
        format!("mounting {kind}: {}{separator}{words}", text_of(errno)),
    )
}

/// A detached copy of the mount at `path`, which has to be in this process's mount namespace.
pub(crate) fn copy_of(path: &str, recursive: bool) -> Result<OwnedFd, Errno> {
    let recursive = if recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    };
    open_tree(
        CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | recursive,
    )
}

/// Puts a detached mount on a target.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// A descriptor of an existing target.
pub(crate) fn target(path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// A directory directly under the root, made if missing. An image must not redirect it by a symbolic link:
/// the paths that are masked later would be elsewhere.
pub(crate) fn plain_directory(path: &str) -> Outcome<OwnedFd> {
    match mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).context(|| format!("mkdir {path}")),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::LOOP) => Err(invalid(format!("{path:?} of the image is a symbolic link"))),
        result => result.context(|| format!("open {path}")),
    }
}

/// A path without `.` and `..`, taken from the root; that is how runc takes every path of a container.
pub(crate) fn cleaned(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

/// A directory, made with its parents if missing.
pub(crate) fn directory(path: &Path) -> Outcome<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        result => return result.context(|| format!("open {}", path.display())),
    }
    let mut prefix = PathBuf::new();
    for component in path.components() {
        prefix.push(component);
        match mkdir(&prefix, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).context(|| format!("mkdir {}", prefix.display())),
        }
    }
    open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

/// A file to mount something on, made with its parents if missing.
pub(crate) fn file(path: &Path) -> Outcome<OwnedFd> {
    let make = || {
        open(
            path,
            OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o644),
        )
    };
    match target(path) {
        Err(Errno::NOENT) => {}
        result => return result.context(|| format!("open {}", path.display())),
    }
    if let Some(parent) = path.parent() {
        directory(parent)?;
        // A symbolic link to where there is nothing, as distributions have for /etc/resolv.conf.
        if let Ok(link) = readlink(path, Vec::new()) {
            let pointed = cleaned(&parent.join(&*link.to_string_lossy()).to_string_lossy());
            directory(pointed.parent().unwrap_or(Path::new("/")))?;
        }
    }
    make().context(|| format!("create {}", path.display()))?;
    target(path).context(|| format!("open {}", path.display()))
}

/// Refuses a target inside /proc, where a mount could fake what the runtime and the user read.
pub(crate) fn refuse_proc(target: impl AsFd, path: &str) -> Outcome<()> {
    let kind = fstatfs(target).context(|| format!("statfs {path}"))?.f_type;
    if u64::try_from(kind).is_ok_and(|kind| kind == PROC_SUPER_MAGIC) {
        return Err(invalid(format!(
            "{path:?} cannot be mounted because it is inside /proc"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_climbs_above_the_root() {
        assert_eq!(cleaned("../../etc/./x/../passwd"), Path::new("/etc/passwd"));
        assert_eq!(cleaned(""), Path::new("/"));
    }

    #[test]
    fn a_file_behind_a_dangling_link_is_made_where_the_link_points() {
        let base = tempfile::tempdir().unwrap();
        let etc = base.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink("../run/resolve/stub.conf", etc.join("resolv.conf")).unwrap();
        file(&etc.join("resolv.conf")).unwrap();
        assert!(base.path().join("run/resolve/stub.conf").is_file());
    }

    #[test]
    fn a_linked_system_directory_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().join("proc");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(plain_directory(link.to_str().unwrap()).is_err());
    }
}
