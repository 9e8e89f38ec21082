//! Type checks of the host side for the systems that it is meant for and that are not this one.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::rust_src::{self, Toolchain};
use crate::{paths, run};

/// The systems besides this one.
pub const TARGETS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-pc-windows-msvc"];

/// Checks every crate of the host side for `target`, with the target's own standard library if the toolchain has it.
///
/// # Errors
/// When one does not type-check.
pub fn target(target: &str) -> Result<()> {
    let toolchain = Toolchain::current()?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(paths::checkout())
        .args(["check", "--quiet", "--target", target, "--target-dir"])
        .arg(paths::target().join("cross"))
        .env("RUSTFLAGS", "-Dwarnings");
    if !toolchain.has_target(target) {
        rust_src::install(&toolchain)?;
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort");
    }
    for package in host_side()? {
        cargo.args(["--package", &package]);
    }
    run::step(&format!("checking the host side for {target}"));
    run::run(&mut cargo)
}

/// The packages under `crates/`.
fn host_side() -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(paths::checkout().join("crates"))? {
        let path = entry?.path().join("Cargo.toml");
        if path.exists() {
            let text = fs::read_to_string(&path)?;
            let manifest: Manifest =
                toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
            names.push(manifest.package.name);
        }
    }
    names.sort();
    Ok(names)
}
