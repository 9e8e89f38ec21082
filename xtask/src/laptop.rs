//! "The laptop": a Linux with a true `/dev/kvm`, its processor emulated by QEMU, for machines whose own KVM is missing
//! or only interprets. It has a kernel, one program as PID 1 and a read-only folder of this machine, and runs what a
//! user's laptop would: the same `sampan`. For this machine's own architecture that is the one that is built here
//! anyway, with the libraries that it needs; for the other one it is linked statically.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::emulator::{Cpu, Emulator, SUCCESS};
use crate::kernel::{self, Role};
use crate::musl::{self, Profile};
use crate::{e2e, init, libraries, paths, publish, run, share};

/// Where PID 1 mounts the folder.
pub const FOLDER: &str = "/laptop";

/// How long all that is run in it may take. A guest that hangs must end sometime.
const PATIENCE: Duration = Duration::from_secs(40 * 60);

/// Runs the end-to-end tests whose names contain one of `filters` (all by default) in the laptop.
///
/// # Errors
/// When something does not build, or a test fails.
pub fn end_to_end(arch: Architecture, filters: &[String]) -> Result<()> {
    let folder = folder(arch)?;
    e2e::link_images(&folder.join("images"))?;
    let (tests, libraries) = if arch == Architecture::of_host()? {
        let programs = e2e::build_programs()?;
        let (sampan, tests) = (programs.join("sampan"), programs.join("e2e"));
        publish::copy(&sampan, &folder.join("bin/sampan"))?;
        let libraries = libraries::of(&[&sampan, &tests])?;
        (tests, libraries)
    } else {
        add_static_program(&folder, arch, Profile::Dev)?;
        (
            musl::build_with("tests", "e2e", arch, Profile::Dev)?,
            BTreeSet::new(),
        )
    };
    let words = vec![
        format!("SAMPAN_E2E_ARCH={}", arch.docker()),
        "SAMPAN_E2E_ACCEL=kvm".to_owned(),
        format!("SAMPAN_E2E_BIN={FOLDER}/bin/sampan"),
        format!("SAMPAN_E2E_IMAGES={FOLDER}/images"),
        format!("SAMPAN_SHARE={FOLDER}/share"),
        format!("SAMPAN_E2E_FILTERS={}", filters.join(",")),
    ];
    run::step(&format!(
        "running the end-to-end tests in an {} laptop on KVM",
        arch.docker()
    ));
    let result = boot(arch, &folder, (&tests, &libraries), words, |_, line| {
        println!("{line}")
    })?;
    if result != SUCCESS {
        bail!("the end-to-end tests failed in the laptop ({result})");
    }
    Ok(())
}

/// A folder for the laptop with, in `share`, the kernel and initramfs of the machines in it, and room for programs in
/// `bin`.
///
/// # Errors
/// When a part does not build.
pub fn folder(arch: Architecture) -> Result<PathBuf> {
    let folder = paths::target().join("laptop").join(arch.docker());
    for part in ["bin", "share"] {
        fs::create_dir_all(folder.join(part))
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    share::fill(&folder.join("share"), &[arch])?;
    Ok(folder)
}

/// Adds `bin/sampan`, linked statically.
///
/// # Errors
/// When it does not build.
pub fn add_static_program(folder: &Path, arch: Architecture, profile: Profile) -> Result<()> {
    let program = musl::build_with("sampan", "sampan", arch, profile)?;
    publish::copy(&program, &folder.join("bin/sampan"))
}

/// Boots the laptop with `program` as PID 1, beside it the shared libraries that are needed in there, hands each line of its console to `each`, and returns its result.
///
/// # Errors
/// When the laptop does not boot, ends without a result, or does not end.
pub fn boot(
    arch: Architecture,
    folder: &Path,
    (program, libraries): (&Path, &BTreeSet<PathBuf>),
    words: Vec<String>,
    each: impl FnMut(Duration, &str),
) -> Result<String> {
    let initramfs = folder.with_extension("initramfs");
    init::pack(program, libraries, &initramfs)?;
    let laptop = Emulator {
        arch,
        cpu: Cpu::Virtualising,
        cpus: 2,
        memory_mib: 4096,
        kernel: kernel::build(arch, Role::Laptop)?,
        initramfs,
        words,
        folder: Some(folder.to_path_buf()),
        disk: None,
        vsock: None,
    };
    laptop.run(PATIENCE, each)
}
