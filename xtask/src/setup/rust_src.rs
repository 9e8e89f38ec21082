//! The source of the standard library, which `-Zbuild-std` compiles for targets that the toolchain has no
//! compiled one of. A toolchain under rustup may have it as a component; otherwise Debian's package of the same
//! version is linked into its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::{Debian, Release};
use crate::{paths, publish, run};

/// The toolchain that cargo uses in this checkout.
pub struct Toolchain {
    pub sysroot: PathBuf,
    /// `1.95.0`.
    pub version: String,
    /// The triple of this machine.
    pub host: String,
}

impl Toolchain {
    /// # Errors
    /// When there is no `rustc` or it does not say what it is.
    pub fn current() -> Result<Self> {
        let rustc = || {
            let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
            command.current_dir(paths::checkout());
            command
        };
        let sysroot = run::output(rustc().args(["--print", "sysroot"]))?.trim().into();
        let verbose = run::output(rustc().arg("-vV"))?;
        let field = |name: &str| {
            let line = verbose.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
                .with_context(|| format!("`rustc -vV` says no {name}"))
        };
        Ok(Self {
            sysroot,
            version: field("release:")?,
            host: field("host:")?,
        })
    }

    /// Whether the standard library of `target` came with the toolchain.
    pub fn has_target(&self, target: &str) -> bool {
        self.sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
    }
}

/// Sees to it that the toolchain has the source of its standard library.
///
/// # Errors
/// When neither Debian nor rustup has it, or the toolchain's folder cannot be written to.
pub fn install(toolchain: &Toolchain) -> Result<()> {
    let place = toolchain.sysroot.join("lib/rustlib/src/rust/library");
    if place.join("std/Cargo.toml").exists() {
        return Ok(());
    }
    match from_debian(&toolchain.version)? {
        Some(library) => link(&library, &place),
        None => {
            run::step("adding the source of the standard library to the toolchain");
            run::run(Command::new("rustup").args(["component", "add", "rust-src"])).context(format!(
                "Debian has no source of Rust {}; install the component rust-src of your toolchain",
                toolchain.version
            ))
        }
    }
}

fn link(library: &Path, place: &Path) -> Result<()> {
    let parent = place.parent().context("the sysroot has folders")?;
    publish::remove(place)
        .and_then(|()| Ok(fs::create_dir_all(parent)?))
        .and_then(|()| Ok(std::os::unix::fs::symlink(library, place)?))
        .with_context(|| format!("cannot link {} to {}", place.display(), library.display()))
}

/// The unpacked `library` folder of the Debian package for exactly this version.
fn from_debian(version: &str) -> Result<Option<PathBuf>> {
    let folder = paths::cache().join("rust-src").join(version);
    let library = |folder: &Path| folder.join(format!("usr/src/rustc-{version}/library"));
    if !folder.exists() {
        let debian = Debian::open(Release::Trixie)?;
        let Some(package) = debian.version("rust-src", &format!("{version}+"))? else {
            return Ok(None);
        };
        run::step(&format!(
            "fetching the source of the standard library of Rust {version}"
        ));
        publish::once(&folder, |draft| {
            let downloads = draft.with_extension("deb");
            publish::remove(&downloads)?;
            debian.download(&[format!("rust-src={package}")], &downloads)?;
            for file in fs::read_dir(&downloads)? {
                run::run(Command::new("dpkg-deb").arg("-x").arg(file?.path()).arg(draft))?;
            }
            if !library(draft).join("std/Cargo.toml").exists() {
                bail!(
                    "Debian's rust-src {package} has no {}",
                    library(Path::new("/")).display()
                );
            }
            publish::remove(&downloads)
        })?;
    }
    Ok(Some(library(&folder)))
}
