//! Debian as it boots itself: its own init takes over from here. A unit behind docker.service runs this program again, to
//! tell that dockerd is ready (docker.service is `Type=notify`, systemd.service(5)).

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::system;

/// Goes over to the Debian on the first disk; returns only when there is none.
pub(crate) fn boot() -> Result<()> {
    let root = Path::new("/root");
    system::mount_one("devtmpfs", Path::new("/dev"), "devtmpfs", "")?;
    system::mount_one("/dev/vda", root, "ext4", "")?;
    system::switch_root(root)?;
    Err(Command::new("/sbin/init").exec()).context("there is no /sbin/init")
}
