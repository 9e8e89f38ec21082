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
use crate::{e2e, init, libraries, paths, publish, run, share, tsc};

/// Where PID 1 mounts the folder.
pub const FOLDER: &str = "/laptop";

/// How long all that is run in it may take. A guest that hangs must end sometime.
const PATIENCE: Duration = Duration::from_secs(40 * 60);

/// No scenario is silent for so long, but a laptop that hangs is.
const SILENCE: Duration = Duration::from_secs(180);

/// How often a laptop is booted for what did not pass in the last one.
///
/// QEMU's SVM, of 7.2, 10.0 and 11.1 alike, loses memory of the laptop's kernel or of a machine in it about once in
/// two hundred seconds with two machines at once: page tables read as zeroes, on both sides. A fault of sampan's own
/// comes back in every laptop.
const BOOTS: u32 = 4;

/// The scenarios that show what is KVM's own: boot, memory, interrupts, crash and end of a machine, and every path
/// of data to and from it. The others differ in nothing that the hypervisor does.
const CORE: &[&str] = &[
    "archives::a_saved_image_is_loaded_again_and_runs",
    "bad_host::apart::without_permission_on_kvm",
    "clock::",
    "crash::",
    "exec::",
    "files::files_are_copied_out_of_and_into_a_running",
    "first_run::",
    "limits::",
    "networks::containers_of_one_network",
    "policies::a_container_comes_back",
    "streams::",
    "terminal::",
    "version::",
    "volumes::a_volume_keeps",
];

/// Runs the core of the end-to-end tests in the laptop.
///
/// # Errors
/// As [`end_to_end`].
pub fn core(arch: Architecture) -> Result<()> {
    end_to_end(arch, &CORE.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Runs the end-to-end tests whose names contain one of `filters` (all by default) in the laptop.
///
/// # Errors
/// When something does not build, or a test passes in none of [`BOOTS`] laptops.
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
        "SAMPAN_E2E_LAPTOP=1".to_owned(),
        format!("SAMPAN_E2E_BIN={FOLDER}/bin/sampan"),
        format!("SAMPAN_E2E_IMAGES={FOLDER}/images"),
        format!("SAMPAN_SHARE={FOLDER}/share"),
        format!("SAMPAN_E2E_FILTERS={}", filters.join(",")),
        format!("SAMPAN_E2E_PASSED={FOLDER}/{PASSED}"),
    ];
    let mut passed = BTreeSet::new();
    for boot_number in 1..=BOOTS {
        run::step(&format!(
            "running the end-to-end tests in an {} laptop on KVM{}",
            arch.docker(),
            if boot_number == 1 {
                ""
            } else {
                ", those that did not pass"
            }
        ));
        let names: Vec<&str> = passed.iter().map(String::as_str).collect();
        fs::write(folder.join(PASSED), names.join("\n")).context("the list of what passed")?;
        let result = boot(arch, &folder, (&tests, &libraries), words.clone(), |_, line| {
            println!("{line}");
            passed.extend(passing(line).map(str::to_owned));
        });
        match result {
            Ok(result) if result == SUCCESS => return Ok(()),
            Ok(result) => println!("the end-to-end tests failed in the laptop ({result})"),
            Err(error) => println!("the laptop failed: {error:#}"),
        }
    }
    bail!(
        "the end-to-end tests failed in each of {BOOTS} {} laptops",
        arch.docker()
    )
}

/// In the laptop's folder, the tests that passed in a laptop before.
const PASSED: &str = "passed";

/// The test that a line tells to have passed.
fn passing(line: &str) -> Option<&str> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    (outcome == "ok").then(|| name.trim_end())
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
    mut words: Vec<String>,
    each: impl FnMut(Duration, &str),
) -> Result<String> {
    let initramfs = folder.with_extension("initramfs");
    init::pack(program, libraries, &initramfs)?;
    if arch == Architecture::Amd64
        && let Some(khz) = tsc::host_khz()
    {
        // On a busy machine the laptop's own measurement fails, and KVM then waits for ever for a frequency.
        words.push(format!("tsc_early_khz={khz} tsc=reliable"));
    }
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
        silence: SILENCE,
    };
    laptop.run(PATIENCE, each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_passed_is_told_from_one_that_failed() {
        assert_eq!(passing("test exec::a_shell    ... ok"), Some("exec::a_shell"));
        assert_eq!(passing("test exec::a_shell    ... FAILED"), None);
        assert_eq!(passing("running 3 tests"), None);
    }
}
