//! Masked and read-only paths (OCI runtime spec, "Masked Paths" and "Readonly Paths"): the parts of /proc and
//! /sys that are the guest's and not the container's.

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::mounting;
use crate::failure::{Context, Outcome};
use crate::sys::ioctl::make_read_only;

/// Hides paths: files under /dev/null, directories under an empty one.
pub(super) fn mask(paths: &[String]) -> Outcome<()> {
    for path in paths {
        let what = || format!("{path:?} could not be masked");
        let target = match mounting::target(path.as_str()) {
            Err(Errno::NOENT) => continue,
            result => result.context(what)?,
        };
        let status = fstat(&target).context(what)?;
        let cover = if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            let settings = [("nr_blocks", Some("1")), ("nr_inodes", Some("1"))];
            mounting::create("tmpfs", &settings, MountAttrFlags::MOUNT_ATTR_RDONLY)?
        } else {
            mounting::copy_of("/dev/null", false).context(what)?
        };
        mounting::attach(&cover, &target).context(what)?;
    }
    Ok(())
}

/// Makes paths read-only, with all that is mounted below them.
pub(super) fn make_unwritable(paths: &[String]) -> Outcome<()> {
    for path in paths {
        let what = || format!("{path:?} could not be made read-only");
        let copy = match mounting::copy_of(path, true) {
            Err(Errno::NOENT) => continue,
            result => result.context(what)?,
        };
        make_read_only(&copy, c"", true).context(what)?;
        mounting::target(path.as_str())
            .and_then(|target| mounting::attach(&copy, target))
            .context(what)?;
    }
    Ok(())
}
