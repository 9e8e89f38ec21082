//! The guest's side of the benchmarks: the program `bench-guest` of the tests, as PID 1.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::musl::{self, Profile};
use crate::{init, paths};

/// The static program.
///
/// # Errors
/// When it does not build.
pub(super) fn program(arch: Architecture) -> Result<PathBuf> {
    musl::build_with("tests", "bench-guest", arch, Profile::Dev)
}

/// An initramfs with it.
///
/// # Errors
/// When it does not build.
pub(super) fn initramfs(arch: Architecture) -> Result<PathBuf> {
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let initramfs = folder.join(format!("initramfs-{}", arch.docker()));
    init::pack(&program(arch)?, &BTreeSet::new(), &initramfs)?;
    Ok(initramfs)
}
