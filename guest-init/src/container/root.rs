//! The container's root: overlayfs over its layers, with a writable layer on the data disk
//! (Documentation/filesystems/overlayfs.rst), and the change into it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{chdir, pivot_root};

use super::mounting;
use crate::boot::{CONTAINERS, ROOT_STAGE};
use crate::failure::{Context, Outcome};

/// A detached overlay mount: `lower` are the layers' directories, lowest first. What the container wrote in an
/// earlier run is there again.
pub(crate) fn overlay(id: &str, lower: &[String]) -> Outcome<OwnedFd> {
    let base = format!("{CONTAINERS}/{id}");
    let (upper, work) = (format!("{base}/upper"), format!("{base}/work"));
    for directory in [&base, &upper, &work] {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).context(|| format!("container {id}: mkdir {directory}"));
            }
            _ => {}
        }
    }
    // "lowerdir+" appends one layer below those before it, so that no option grows over a page, however
    // many layers there are. xino gives all layers one device number, as if they were one file system.
    let mut settings: Vec<(&str, Option<&str>)> = lower
        .iter()
        .rev()
        .map(|directory| ("lowerdir+", Some(directory.as_str())))
        .collect();
    settings.extend([
        ("upperdir", Some(upper.as_str())),
        ("workdir", Some(work.as_str())),
        ("index", Some("off")),
        ("metacopy", Some("off")),
        ("xino", Some("on")),
    ]);
    mounting::create("overlay", &settings, MountAttrFlags::empty())
}

/// Makes a detached mount the root of this process's mount namespace and leaves nothing of the old tree.
pub(crate) fn change_into(root: impl AsFd) -> Outcome<()> {
    move_mount(root, "", CWD, ROOT_STAGE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .and_then(|()| chdir(ROOT_STAGE))
        // With one directory for both, the old root ends up on top of the new one, from where it is taken
        // away (pivot_root(2), "pivot_root(".", ".")").
        .and_then(|()| pivot_root(".", "."))
        .and_then(|()| unmount(".", UnmountFlags::DETACH))
        .and_then(|()| chdir("/"))
        .context(|| "the container's root could not be entered".to_owned())
}
