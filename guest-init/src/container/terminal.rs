//! The container's /dev/pts and its pseudo-terminals (pts(4)).
//!
//! The file system is made by the shim, before there is a container, and stays in its hands: a terminal for an
//! exec comes from the same instance whatever the container did to its /dev.

use std::os::fd::OwnedFd;

use protocol::WindowSize;
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::MountAttrFlags;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::mounting;
use crate::failure::{Context, Outcome};

/// An instance of devpts as a detached mount.
#[derive(Debug)]
pub(crate) struct Terminals {
    pub(crate) mount: OwnedFd,
}

/// A new pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The shim's side, non-blocking.
    pub(crate) master: OwnedFd,
    /// The program's side.
    pub(crate) slave: OwnedFd,
}

impl Terminals {
    /// A new instance, with nothing in it but `ptmx`.
    pub(crate) fn create() -> Outcome<Self> {
        let settings = [
            ("ptmxmode", Some("0666")),
            ("mode", Some("0620")),
            ("gid", Some("5")),
        ];
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        Ok(Self {
            mount: mounting::create("devpts", &settings, attributes)?,
        })
    }

    /// A new terminal. The first one is `/dev/pts/0` to the container.
    pub(crate) fn open(&self, size: WindowSize) -> Outcome<Terminal> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = || {
            let master = openat(&self.mount, "ptmx", flags, Mode::empty())?;
            unlockpt(&master)?;
            resize(&master, size)?;
            let slave = ioctl_tiocgptpeer(
                &master,
                OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
            )?;
            Ok::<_, rustix::io::Errno>(Terminal { master, slave })
        };
        opened().context(|| "a terminal could not be opened".to_owned())
    }
}

/// Changes a terminal's size; the program gets SIGWINCH.
pub(crate) fn resize(master: &OwnedFd, size: WindowSize) -> rustix::io::Result<()> {
    tcsetwinsize(
        master,
        Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
}
