//! The end-to-end tests on this machine: builds all that they need, then runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::architecture::Architecture;
use crate::setup::debian::Release;
use crate::setup::{machine, unpacked};
use crate::{images, paths, publish, run, share};

/// The package of the program over Testcontainers, and the program.
const TESTCONTAINERS: &str = "testcontainers-program";
/// Its folder in the checkout.
pub const TESTCONTAINERS_FOLDER: &str = "tests/testcontainers";

/// How the machines under test execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Acceleration {
    /// What `sampan` finds best.
    Auto,
    /// The emulated machine.
    Tcg,
    /// This machine's own KVM.
    Kvm,
}

impl Acceleration {
    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }
}

/// Runs the tests whose names contain one of `filters` (all by default) against one kind of machine.
///
/// # Errors
/// When something does not build, or a test fails.
pub fn run(arch: Architecture, acceleration: Acceleration, filters: &[String]) -> Result<()> {
    run::run(&mut program(arch, acceleration, filters)?)
}

/// Runs the tests of load and of kills in the whole of their numbers, which takes far longer than a test run.
///
/// # Errors
/// As [`run`].
pub fn load(arch: Architecture, acceleration: Acceleration) -> Result<()> {
    // One after the other: each watches what its machine and its service hold.
    run::run(
        program(arch, acceleration, &["load::".to_owned(), "faults::".to_owned()])?
            .arg("--test-threads=1")
            .env("SAMPAN_E2E_LOAD", "full"),
    )
}

/// The tests, built with all that they need, and how to run them.
fn program(arch: Architecture, acceleration: Acceleration, filters: &[String]) -> Result<Command> {
    machine::install(machine::EMULATION)?;
    let share = share::share()?;
    let images = paths::target().join("e2e/images");
    link_images(&images)?;
    let programs = build_programs()?;
    let testcontainers = build_testcontainers()?;
    run::step(&format!(
        "running the end-to-end tests on an {} machine",
        arch.docker()
    ));
    let mut command = Command::new(programs.join("e2e"));
    command
        .current_dir(paths::checkout())
        .env("SAMPAN_E2E_ARCH", arch.docker())
        .env("SAMPAN_E2E_ACCEL", acceleration.name())
        .env("SAMPAN_E2E_FILTERS", filters.join(","))
        .env("SAMPAN_E2E_BIN", programs.join("sampan"))
        .env("SAMPAN_E2E_IMAGES", images)
        .env("SAMPAN_E2E_DOCKER", docker()?)
        .env("SAMPAN_E2E_PYTHON", python_sdk()?)
        .env("SAMPAN_E2E_TESTCONTAINERS", testcontainers)
        .env("SAMPAN_SHARE", share);
    Ok(command)
}

/// Debian's `docker` command, of version 28 at least, and `docker compose` for this computer, unpacked.
///
/// # Errors
/// When they cannot be had.
pub fn docker() -> Result<PathBuf> {
    // Programs in Go that need nothing but the C library, which is here.
    let without = ["libc6", "docker-buildx", "iptables", "containerd", "runc"];
    unpacked::unpack(
        "docker-client",
        Release::Forky,
        &["docker-cli", "docker-compose"],
        &without,
        Architecture::of_host()?,
    )
}

/// Debian's SDK for programs in Python, unpacked: the folder of its modules. They are text that any Python 3 runs.
///
/// # Errors
/// When it cannot be had.
fn python_sdk() -> Result<PathBuf> {
    machine::install(&["python3"])?;
    let arch = Architecture::of_host()?;
    let folder = unpacked::unpack(
        "python-sdk",
        Release::Trixie,
        &["python3-docker"],
        &["python3"],
        arch,
    )?;
    Ok(folder.join("usr/lib/python3/dist-packages"))
}

/// Builds the program over Testcontainers, which is a workspace of its own, and returns its path.
fn build_testcontainers() -> Result<PathBuf> {
    run::step("building the program over Testcontainers");
    run::run(testcontainers().args(["build", "--quiet"]))?;
    Ok(testcontainers_target().join("debug").join(TESTCONTAINERS))
}

/// Cargo in the workspace of the program over Testcontainers.
pub fn testcontainers() -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(paths::checkout().join(TESTCONTAINERS_FOLDER))
        .env("CARGO_TARGET_DIR", testcontainers_target());
    cargo
}

fn testcontainers_target() -> PathBuf {
    paths::target().join(TESTCONTAINERS)
}

/// Builds `sampan` and the end-to-end tests for this machine, and returns their folder.
///
/// # Errors
/// When they do not compile.
pub fn build_programs() -> Result<PathBuf> {
    run::step("building sampan and the end-to-end tests");
    run::run(Command::new("cargo").current_dir(paths::checkout()).args([
        "build",
        "--quiet",
        "--package",
        "sampan",
        "--package",
        "tests",
    ]))?;
    Ok(paths::target().join("debug"))
}

/// Builds every image and makes `folder` hold each one's OCI layout under its name.
///
/// The files are hard links where the cache is on the same file system: a symbolic link would lead out of a folder
/// that is shared with a guest.
///
/// # Errors
/// When an image does not build.
pub fn link_images(folder: &Path) -> Result<()> {
    let draft = folder.with_extension("draft");
    publish::remove(&draft)?;
    for image in images::build_all()? {
        link_tree(&image.layout, &draft.join(&image.name))
            .with_context(|| format!("cannot copy the image {} to {}", image.name, folder.display()))?;
    }
    publish::remove(folder)?;
    fs::rename(&draft, folder).with_context(|| format!("cannot write {}", folder.display()))
}

fn link_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else if fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_tree_holds_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("blobs/sha256")).unwrap();
        fs::write(from.join("blobs/sha256/ab"), "blob").unwrap();
        link_tree(&from, &folder.path().join("to")).unwrap();
        assert_eq!(
            fs::read(folder.path().join("to/blobs/sha256/ab")).unwrap(),
            b"blob"
        );
    }
}
