//! /etc/resolv.conf of a container that runs, when it gets a resolver of its own (resolv.conf(5)).
//!
//! Whoever has changed the file keeps it, as in Docker: it is written only while it holds what it was given. The way to it
//! is the container's and hostile, so it is looked up with the container's root as the root and through no magic links
//! (openat2(2), RESOLVE_IN_ROOT), and what is no regular file is left alone.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

/// The file's name among those for /etc.
pub(super) const NAME: &str = "resolv.conf";

/// Puts `after` in the place of `before`, in the root of this process. Returns whether it did.
pub(super) fn replace(process: u32, before: &str, after: &str) -> bool {
    let root = format!("/proc/{process}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(root, flags, Mode::empty()).is_ok_and(|root| replace_in(&root, before, after).unwrap_or(false))
}

fn replace_in(root: impl std::os::fd::AsFd, before: &str, after: &str) -> std::io::Result<bool> {
    let file = openat2(
        root,
        format!("etc/{NAME}"),
        // A FIFO would let this process wait.
        OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL.into());
    }
    let mut file = File::from(file);
    let mut now = Vec::new();
    let longest = u64::try_from(before.len()).unwrap_or(u64::MAX).saturating_add(1);
    (&mut file).take(longest).read_to_end(&mut now)?;
    if now != before.as_bytes() {
        return Ok(false);
    }
    file.write_all_at(after.as_bytes(), 0)?;
    file.set_len(u64::try_from(after.len()).unwrap_or(0))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(text: &str) -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/resolv.conf"), text).unwrap();
        let root = File::open(folder.path()).unwrap();
        (folder, root)
    }

    fn text(folder: &tempfile::TempDir) -> String {
        fs::read_to_string(folder.path().join("etc/resolv.conf")).unwrap()
    }

    #[test]
    fn the_file_is_replaced_while_it_holds_what_it_was_given() {
        let (folder, root) = root("nameserver 9.9.9.9\nsearch example.org\n");
        let before = text(&folder);
        assert!(replace_in(&root, &before, "nameserver 127.0.0.11\n").unwrap());
        assert_eq!(text(&folder), "nameserver 127.0.0.11\n");
    }

    #[test]
    fn a_file_that_somebody_changed_stays() {
        let (folder, root) = root("nameserver 9.9.9.9\n# mine\n");
        assert!(!replace_in(&root, "nameserver 9.9.9.9\n", "nameserver 127.0.0.11\n").unwrap());
        assert_eq!(text(&folder), "nameserver 9.9.9.9\n# mine\n");
    }

    #[test]
    fn a_link_leads_to_nothing_outside_of_the_root() {
        let (folder, root) = root("");
        let outside = tempfile::NamedTempFile::new().unwrap();
        let path = folder.path().join("etc/resolv.conf");
        fs::remove_file(&path).unwrap();
        symlink(outside.path(), &path).unwrap();
        assert!(replace_in(&root, "", "nameserver 127.0.0.11\n").is_err());
        assert_eq!(fs::read_to_string(outside.path()).unwrap(), "");
    }
}
