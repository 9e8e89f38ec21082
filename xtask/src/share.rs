//! Gathering what is built: the share folder that a `sampan` beside it boots machines from, and the whole
//! distribution.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::kernel::{self, Role};
use crate::{init, paths, publish, run};

/// Builds kernels and initramfs of both architectures into `target/share/sampan`, and returns that folder.
///
/// # Errors
/// When a part does not build.
pub fn share() -> Result<PathBuf> {
    let folder = paths::target().join("share/sampan");
    fill(&folder, &Architecture::ALL)?;
    Ok(folder)
}

/// Builds the release into `target/dist`: `bin/sampan` and `share/sampan`. Returns that folder.
///
/// # Errors
/// When a part does not build.
pub fn dist() -> Result<PathBuf> {
    let folder = paths::target().join("dist");
    fill(&folder.join("share/sampan"), &Architecture::ALL)?;
    run::step("building sampan");
    run::run(Command::new("cargo").current_dir(paths::checkout()).args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "sampan",
    ]))?;
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).with_context(|| format!("cannot create {}", programs.display()))?;
    publish::copy(&paths::target().join("release/sampan"), &programs.join("sampan"))?;
    Ok(folder)
}

/// Builds kernels and initramfs of these architectures into `folder`.
///
/// # Errors
/// When a part does not build.
pub fn fill(folder: &Path, architectures: &[Architecture]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for &arch in architectures {
        let name = arch.docker();
        publish::copy(
            &kernel::build(arch, Role::Guest)?,
            &folder.join(format!("kernel-{name}")),
        )?;
        publish::copy(&init::build(arch)?, &folder.join(format!("initramfs-{name}")))?;
    }
    Ok(())
}
