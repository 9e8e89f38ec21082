//! The guest's side of the benchmarks: the program `bench-guest` of the tests, as PID 1.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bench;
use crate::architecture::Architecture;
use crate::emulator::{Cpu, Emulator};
use crate::musl::{self, Profile};
use crate::{init, paths};

/// The processors of all machines that are compared.
pub(super) const CPUS: u32 = 2;

/// A machine with the kernel of ours that runs the program with these words. It has no disk and no vsock.
///
/// # Errors
/// When the program does not build.
pub(super) fn machine(
    bench: &Bench,
    arch: Architecture,
    memory_mib: u32,
    words: Vec<String>,
    silence: Duration,
) -> Result<Emulator> {
    Ok(Emulator {
        arch,
        cpu: Cpu::Plain,
        cpus: CPUS,
        memory_mib,
        kernel: bench.kernel(arch),
        initramfs: initramfs(arch)?,
        words,
        folder: None,
        disk: None,
        vsock: None,
        silence,
    })
}

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
