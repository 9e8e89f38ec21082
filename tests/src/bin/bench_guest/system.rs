//! What PID 1 does before and after a benchmark.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

/// The pseudo file systems that every program takes for granted, below `root`.
pub(crate) fn mount_pseudo(root: &Path) -> Result<()> {
    for (source, target, kind, options) in [
        ("proc", "proc", "proc", ""),
        ("sysfs", "sys", "sysfs", ""),
        ("devtmpfs", "dev", "devtmpfs", ""),
        ("devpts", "dev/pts", "devpts", "ptmxmode=0666"),
        ("tmpfs", "run", "tmpfs", ""),
        ("tmpfs", "tmp", "tmpfs", ""),
    ] {
        mount_one(source, &root.join(target), kind, options)?;
    }
    Ok(())
}

/// Mounts, after making the mount point where it can be made.
pub(crate) fn mount_one(source: &str, target: &Path, kind: &str, options: &str) -> Result<()> {
    let failed = || format!("cannot mount {kind} on {}", target.display());
    if !target.exists() {
        fs::create_dir_all(target).with_context(failed)?;
    }
    let options = CString::new(options)?;
    mount(source, target, kind, MountFlags::empty(), options.as_c_str()).with_context(failed)
}

/// Makes the file system at `root` the root of everything (switch_root(8)).
pub(crate) fn switch_root(root: &Path) -> Result<()> {
    std::env::set_current_dir(root)?;
    rustix::mount::mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Ends QEMU: PSCI on aarch64; on x86_64, which has no ACPI here, a reset under `-no-reboot`. Returns why it did not.
pub(crate) fn power_off() -> anyhow::Error {
    rustix::fs::sync();
    let command = if cfg!(target_arch = "aarch64") {
        RebootCommand::PowerOff
    } else {
        RebootCommand::Restart
    };
    match rustix::system::reboot(command) {
        Ok(()) => anyhow::anyhow!("the machine is still on"),
        Err(error) => anyhow::anyhow!("cannot power off: {error}"),
    }
}
