//! What a container wrote: the upper directory of its overlay, against its image
//! (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").

use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

/// image-spec, "Image Layer Filesystem Changeset", "Whiteouts".
pub(super) const WHITEOUT_PREFIX: &[u8] = b".wh.";
pub(super) const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";

const DEEPEST: usize = 4096;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Whether an entry of the upper directory says that something was removed.
pub(super) fn is_whiteout(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0
}

/// Whether a directory hides everything that lies below it in the image.
pub(super) fn is_opaque(directory: &impl AsFd) -> bool {
    let mut value = [0; 4];
    let length = fgetxattr(directory, c"trusted.overlay.opaque", &mut value).unwrap_or(0);
    value.get(..length) == Some(b"y")
}

/// Whether an entry is a mount point that the runtime made, and so no change of the container's.
pub(super) fn is_runtimes_own(parent: &OwnedFd, name: &CStr, path: &[u8]) -> bool {
    match path {
        b"dev" | b"proc" | b"sys" | b"etc/hosts" | b"etc/hostname" | b"etc/resolv.conf" => true,
        b"etc/mtab" => {
            readlinkat(parent, name, Vec::new()).is_ok_and(|target| target.to_bytes() == b"/proc/mounts")
        }
        b"sbin/docker-init" => {
            statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|status| status.st_size == 0)
        }
        _ => false,
    }
}

/// Whether a directory that the image does not have is there for the runtime's mount points, as Docker has it in its init
/// layer.
fn holds_runtimes_own(directory: &Level) -> bool {
    let path = directory.path.get(1..).unwrap_or_default();
    matches!(path, b"etc" | b"sbin")
        && directory
            .names
            .iter()
            .any(|name| is_runtimes_own(&directory.upper, name, &[path, b"/", name.to_bytes()].concat()))
}

/// A directory that is being compared.
struct Level {
    names: Vec<CString>,
    upper: OwnedFd,
    /// The same directory of the image.
    lower: Option<OwnedFd>,
    path: Vec<u8>,
    /// What to say of the directory itself once it is clear whether anything in it differs.
    own: Option<Kind>,
    reported: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Added,
    /// It differs by itself.
    Changed,
    /// It is there because something in it is.
    Touched,
}

/// Writes a line for everything that differs: `A`, `C` or `D`, a space, the path.
pub(super) fn list(upper: &OwnedFd, lower: &OwnedFd, out: &mut impl Write) -> io::Result<()> {
    let mut levels = vec![level(
        openat(upper, ".", DIRECTORY, Mode::empty())?,
        Some(openat(lower, ".", DIRECTORY, Mode::empty())?),
        Vec::new(),
        None,
    )?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            let Some(done) = levels.pop() else { break };
            let letter = match done.own {
                Some(Kind::Added) => "A",
                Some(Kind::Changed) => "C",
                Some(Kind::Touched) if done.reported => "C",
                _ => continue,
            };
            say(out, letter, &done.path)?;
            if let Some(parent) = levels.last_mut() {
                parent.reported = true;
            }
            continue;
        };
        let mut path = level.path.clone();
        path.push(b'/');
        path.extend(name.to_bytes());
        if is_runtimes_own(&level.upper, &name, path.get(1..).unwrap_or_default()) {
            continue;
        }
        let status = match statat(&level.upper, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            // Gone since its directory was read.
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let before = level
            .lower
            .as_ref()
            .and_then(|lower| statat(lower, &name, AtFlags::SYMLINK_NOFOLLOW).ok());
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            let letter = match (is_whiteout(&status), before.is_some()) {
                (true, _) => "D",
                (false, true) => "C",
                (false, false) => "A",
            };
            say(out, letter, &path)?;
            level.reported = true;
            continue;
        }
        let own = match &before {
            None => Kind::Added,
            Some(before) => {
                let seen = |status: &Stat| (status.st_mode, status.st_uid, status.st_gid);
                if seen(before) == seen(&status) {
                    Kind::Touched
                } else {
                    Kind::Changed
                }
            }
        };
        let inner = match openat(&level.upper, &name, DIRECTORY, Mode::empty()) {
            Ok(inner) => inner,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let below = level
            .lower
            .as_ref()
            .and_then(|lower| openat(lower, &name, DIRECTORY, Mode::empty()).ok());
        if levels.len() >= DEEPEST {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut inner = self::level(inner, below, path, Some(own))?;
        if before.is_none() && holds_runtimes_own(&inner) {
            inner.own = Some(Kind::Touched);
        }
        if is_opaque(&inner.upper) {
            report_hidden(&mut inner, out)?;
        }
        levels.push(inner);
    }
    Ok(())
}

fn level(upper: OwnedFd, lower: Option<OwnedFd>, path: Vec<u8>, own: Option<Kind>) -> io::Result<Level> {
    Ok(Level {
        names: names(&upper)?,
        upper,
        lower,
        path,
        own,
        reported: false,
    })
}

/// Tells what an opaque directory hides, and compares the rest of it with nothing.
fn report_hidden(level: &mut Level, out: &mut impl Write) -> io::Result<()> {
    let Some(lower) = level.lower.take() else {
        return Ok(());
    };
    for name in names(&lower)? {
        if statat(&level.upper, &name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            let path = [level.path.as_slice(), b"/", name.to_bytes()].concat();
            say(out, "D", &path)?;
            level.reported = true;
        }
    }
    // What is in both was replaced.
    level.lower = Some(lower);
    Ok(())
}

fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    // A file system that cannot be read any more is an error here and not an empty directory.
    fstat(directory)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// A line end in a name would make two lines of it: it is told as `?`, as ls(1) does.
fn say(out: &mut impl Write, letter: &str, path: &[u8]) -> io::Result<()> {
    let path: Vec<u8> = path
        .iter()
        .map(|byte| if *byte == b'\n' { b'?' } else { *byte })
        .collect();
    out.write_all(letter.as_bytes())?;
    out.write_all(b" ")?;
    out.write_all(&path)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{makedev, mknodat, open};

    use super::*;

    fn differences(upper: &std::path::Path, lower: &std::path::Path) -> Vec<String> {
        let mut out = Vec::new();
        list(
            &open(upper, DIRECTORY, Mode::empty()).unwrap(),
            &open(lower, DIRECTORY, Mode::empty()).unwrap(),
            &mut out,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn the_folder_of_the_runtimes_mount_points_is_no_change_of_an_image_without_one() {
        let base = tempfile::tempdir().unwrap();
        let (upper, lower) = (base.path().join("upper"), base.path().join("lower"));
        fs::create_dir_all(upper.join("etc")).unwrap();
        fs::create_dir(&lower).unwrap();
        fs::write(upper.join("etc/hosts"), "").unwrap();
        assert!(differences(&upper, &lower).is_empty());
        fs::write(upper.join("etc/mine"), "").unwrap();
        fs::create_dir(upper.join("sbin")).unwrap();
        assert_eq!(differences(&upper, &lower), ["A /etc/mine", "A /sbin", "C /etc"]);
    }

    #[test]
    fn added_changed_and_removed_files_are_told_with_their_directories() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let (upper, lower) = (base.path().join("upper"), base.path().join("lower"));
        for side in [&upper, &lower] {
            fs::create_dir_all(side.join("etc")).unwrap();
            fs::create_dir_all(side.join("same")).unwrap();
        }
        for name in ["etc/old", "etc/gone"] {
            fs::write(lower.join(name), "").unwrap();
        }
        for name in ["etc/old", "etc/new", "etc/hosts"] {
            fs::write(upper.join(name), "").unwrap();
        }
        fs::create_dir_all(upper.join("new/inner")).unwrap();
        let folder = open(&upper, DIRECTORY, Mode::empty()).unwrap();
        mknodat(
            &folder,
            "etc/gone",
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(0, 0),
        )
        .unwrap();
        assert_eq!(
            differences(&upper, &lower),
            [
                "A /etc/new",
                "A /new",
                "A /new/inner",
                "C /etc",
                "C /etc/old",
                "D /etc/gone"
            ]
        );
    }
}
