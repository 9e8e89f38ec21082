//! Where a container's files are seen: in the mount namespace of its first process, or in one that is made for the
//! work.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::{FailureKind, View};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::boot::CONTAINERS;
use crate::container::{mounting, root, volume};
use crate::failure::{Context, Outcome, failure, invalid};
use crate::sys;

/// A container's files.
pub(crate) struct Place<'a> {
    pub(crate) id: &'a str,
    /// The layers' directories, lowest first.
    pub(crate) lower: &'a [String],
    pub(crate) kind: Kind<'a>,
    /// Both sides of the overlay, opened while they can be seen.
    sides: std::cell::OnceCell<(OwnedFd, OwnedFd)>,
}

/// How they are reached.
pub(crate) enum Kind<'a> {
    /// The mount namespace of the running container.
    Running(OwnedFd),
    /// What it is made of.
    Stopped(&'a View),
}

impl<'a> Place<'a> {
    pub(crate) fn new(id: &'a str, lower: &'a [String], kind: Kind<'a>) -> Self {
        Self {
            id,
            lower,
            kind,
            sides: std::cell::OnceCell::new(),
        }
    }

    /// Descriptors that the work needs of those that PID 1 has.
    pub(super) fn kept(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Running(namespace) => Some(namespace.as_fd()),
            Kind::Stopped(_) => None,
        }
    }

    /// Goes there: from here on every path is the container's.
    pub(super) fn enter(&self) -> Outcome<()> {
        self.open_sides()?;
        match &self.kind {
            Kind::Running(namespace) => sys::process::enter_namespaces(namespace, libc::CLONE_NEWNS)
                .context(|| format!("container {}: mount namespace", self.id)),
            Kind::Stopped(view) => {
                sys::process::unshare(libc::CLONE_NEWNS).context(|| "mount namespace".to_owned())?;
                let volumes = volume::open_all(&view.mounts)?;
                root::change_into(root::overlay(self.id, self.lower)?)?;
                volume::put_all(&view.mounts, volumes)?;
                if view.read_only {
                    sys::ioctl::make_read_only(rustix::fs::CWD, c"/", false)
                        .context(|| "the root".to_owned())?;
                }
                Ok(())
            }
        }
    }

    /// What the container wrote, and what its image has.
    pub(super) fn layers(&self) -> Outcome<(&OwnedFd, &OwnedFd)> {
        let sides = self
            .sides
            .get()
            .ok_or_else(|| invalid("the layers were not opened"))?;
        Ok((&sides.0, &sides.1))
    }

    fn open_sides(&self) -> Outcome<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let upper = format!("{CONTAINERS}/{}/upper", self.id);
        let upper = match open(upper.as_str(), flags, Mode::empty()) {
            // It never ran.
            Err(Errno::NOENT) => open(crate::boot::EMPTY_LOWER, flags, Mode::empty()),
            other => other,
        };
        let upper = upper.context(|| format!("container {}", self.id))?;
        let _ = self.sides.set((upper, image(self.lower)?));
        Ok(())
    }
}

/// A view of the image's layers alone.
fn image(lower: &[String]) -> Outcome<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let [only] = lower {
        return open(only.as_str(), flags, Mode::empty()).context(|| only.clone());
    }
    let settings: Vec<(&str, Option<&str>)> = lower
        .iter()
        .rev()
        .map(|directory| ("lowerdir+", Some(directory.as_str())))
        .collect();
    let mount = mounting::create("overlay", &settings, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    rustix::fs::openat(&mount, ".", flags, Mode::empty()).context(|| "the image's layers".to_owned())
}

/// The mount namespace of a running container. A process that has just ended has none any more, though its end is still
/// to be told.
pub(crate) fn namespace_of(process: u32) -> Outcome<OwnedFd> {
    let path = format!("/proc/{process}/ns/mnt");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    open(path.as_str(), flags, Mode::empty())
        .map_err(|error| failure(FailureKind::NotRunning, format!("{path}: {error}")))
}
