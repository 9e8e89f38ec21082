//! What continuous integration checks, in the order of what fails soonest.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::e2e::{self, Acceleration};
use crate::kernel::{self, Role};
use crate::setup::rust_src::{self, Toolchain};
use crate::setup::{machine, tools};
use crate::{check, deny, images, laptop, paths, run};

/// The packages whose programs need a whole machine and are run apart.
const END_TO_END: &str = "tests";

/// Runs every check; the scenarios on the emulated machine of each architecture, and their core on KVM inside a virtual
/// laptop of this machine's own.
///
/// # Errors
/// At the first check that fails.
pub fn checks() -> Result<()> {
    rust_src::install(&Toolchain::current()?)?;
    machine::install(
        &[
            machine::KERNEL,
            &machine::compilers()?,
            machine::UNIT_TESTS,
            machine::IMAGES,
            machine::EMULATION,
        ]
        .concat(),
    )?;
    let machines = Machines::start()?;
    host_side()?;
    machines.finish()?;
    for arch in Architecture::ALL {
        e2e::run(arch, Acceleration::Tcg, &[])?;
    }
    laptop::core(Architecture::of_host()?)
}

/// What needs no machine.
fn host_side() -> Result<()> {
    run::step("checking the format");
    for mut cargo in [cargo(), e2e::testcontainers()] {
        run::run(cargo.args(["fmt", "--all", "--check"]))?;
    }
    run::step("checking with clippy");
    for mut cargo in [cargo(), e2e::testcontainers()] {
        run::run(cargo.args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))?;
    }
    units()?;
    deny::check()?;
    check::TARGETS.iter().try_for_each(|target| check::target(target))
}

/// Builds what machines are made of and depends on no Rust code: kernels and images.
///
/// # Errors
/// When one does not build.
pub fn machines() -> Result<()> {
    for arch in Architecture::ALL {
        kernel::build(arch, Role::Guest)?;
    }
    kernel::build(Architecture::of_host()?, Role::Laptop)?;
    images::build_all().map(drop)
}

/// [`machines`] in a process of its own, beside the checks that need none: the compilers of neither keep every
/// processor busy. Dropping it ends the process and all that it started.
struct Machines(Child);

impl Machines {
    fn start() -> Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let mut command = Command::new(program);
        command.arg("machines").stdin(Stdio::null()).process_group(0);
        Ok(Self(command.spawn().context("cannot build beside the checks")?))
    }

    fn finish(mut self) -> Result<()> {
        let status = self.0.wait()?;
        if !status.success() {
            bail!("kernels or images do not build ({status})");
        }
        Ok(())
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It may end by itself in between.
            let _ = rustix::process::kill_process_group(
                rustix::process::Pid::from_child(&self.0),
                rustix::process::Signal::TERM,
            );
            let _ = self.0.wait();
        }
    }
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
