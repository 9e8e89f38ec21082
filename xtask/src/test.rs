//! What continuous integration checks, in the order of what fails soonest.

use std::process::Command;

use anyhow::Result;

use crate::architecture::Architecture;
use crate::e2e::{self, Acceleration};
use crate::setup::rust_src::{self, Toolchain};
use crate::setup::{machine, tools};
use crate::{check, deny, laptop, paths, run};

/// The packages whose programs need a whole machine and are run apart.
const END_TO_END: &str = "tests";

/// Runs every check; the scenarios on the emulated machine, and on KVM inside a virtual laptop, of each architecture.
///
/// # Errors
/// At the first check that fails.
pub fn checks() -> Result<()> {
    rust_src::install(&Toolchain::current()?)?;
    run::step("checking the format");
    run::run(cargo().args(["fmt", "--all", "--check"]))?;
    run::step("checking with clippy");
    run::run(cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    units()?;
    deny::check()?;
    check::TARGETS
        .iter()
        .try_for_each(|target| check::target(target))?;
    for arch in Architecture::ALL {
        e2e::run(arch, Acceleration::Tcg, &[])?;
    }
    for arch in Architecture::ALL {
        laptop::end_to_end(arch, &[])?;
    }
    Ok(())
}

/// Runs the unit tests of the workspace.
///
/// # Errors
/// When one fails.
pub fn units() -> Result<()> {
    machine::install(machine::UNIT_TESTS)?;
    let nextest = tools::NEXTEST.get()?;
    run::step("running the unit tests");
    run::run(
        Command::new(nextest)
            .current_dir(paths::checkout())
            .args(["nextest", "run", "--workspace", "--exclude", END_TO_END])
            .args(["--cargo-quiet", "--no-fail-fast", "--status-level", "fail"]),
    )
}

fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::checkout());
    cargo
}
