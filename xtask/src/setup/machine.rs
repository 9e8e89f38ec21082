//! Debian packages installed on this machine.

use std::collections::HashSet;
use std::process::Command;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::run;

/// What compiling the kernels needs, the compilers apart.
pub const KERNEL: &[&str] = &[
    "bc",
    "bison",
    "flex",
    "libc6-dev",
    "libelf-dev",
    "libssl-dev",
    "make",
    "perl",
    "xz-utils",
];

/// Programs that unit tests hold our own code against.
pub const UNIT_TESTS: &[&str] = &["cpio", "e2fsprogs", "erofs-utils"];

/// What making and serving images needs.
pub const IMAGES: &[&str] = &["docker-registry", "skopeo"];

/// What emulated machines need.
pub const EMULATION: &[&str] = &["qemu-system-arm", "qemu-system-x86"];

/// The C compilers for both architectures.
///
/// # Errors
/// On a machine that is neither.
pub fn compilers() -> Result<Vec<&'static str>> {
    let host = Architecture::of_host()?;
    let mut packages: Vec<_> = Architecture::ALL
        .iter()
        .map(|arch| arch.gcc_package(host))
        .collect();
    packages.push(match host {
        Architecture::Amd64 => "libc6-dev-arm64-cross",
        Architecture::Arm64 => "libc6-dev-amd64-cross",
    });
    Ok(packages)
}

/// Installs those of `packages` that are missing, as root or through `sudo`.
///
/// # Errors
/// When there is no `dpkg`, or `apt-get` fails.
pub fn install(packages: &[&str]) -> Result<()> {
    let known =
        run::output(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Abbrev} ${Package}\n"]))
            .context("this needs Debian (or one of its kin): there is no dpkg")?;
    let installed: HashSet<&str> = known
        .lines()
        .filter_map(|line| line.strip_prefix("ii  "))
        .collect();
    let missing: Vec<_> = packages
        .iter()
        .filter(|package| !installed.contains(**package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    run::step(&format!(
        "installing {} packages: {}",
        missing.len(),
        words(&missing)
    ));
    run::run(root("apt-get")?.args(["-q", "update"]))?;
    run::run(
        root("apt-get")?
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args([
                "-q",
                "-y",
                "-o",
                "Dpkg::Use-Pty=0",
                "install",
                "--no-install-recommends",
            ])
            .args(missing),
    )
    .with_context(|| format!("install {} by hand, then run this again", packages.join(" ")))
}

fn words(packages: &[&&str]) -> String {
    packages
        .iter()
        .map(|package| **package)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A command run as root.
fn root(program: &str) -> Result<Command> {
    if run::output(Command::new("id").arg("-u"))?.trim() == "0" {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("sudo");
    command.arg("--preserve-env=DEBIAN_FRONTEND").arg(program);
    Ok(command)
}
