//! Debian packages unpacked into a folder, never installed: programs for a guest of either architecture.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{Debian, Package, Release};
use crate::architecture::Architecture;
use crate::fingerprint::Fingerprint;
use crate::{paths, publish, run};

/// Returns a folder with `packages` of a release and all that they depend on but `without`.
///
/// # Errors
/// When a package cannot be had or unpacked.
pub fn unpack(
    name: &str,
    release: Release,
    packages: &[&str],
    without: &[&str],
    arch: Architecture,
) -> Result<PathBuf> {
    let debian = Debian::open(release)?;
    let unpack = || of(&debian, name, packages, without, arch);
    // A release on the move may have other versions by now, which the failed download has brought to the lists.
    unpack().or_else(|_| unpack())
}

fn of(
    debian: &Debian,
    name: &str,
    packages: &[&str],
    without: &[&str],
    arch: Architecture,
) -> Result<PathBuf> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let closure = debian.closure(&owned(packages), &owned(without), arch)?;
    let wanted: Vec<_> = closure.values().map(Package::specification).collect();
    let mut fingerprint = Fingerprint::new("debian 1");
    wanted.iter().for_each(|package| fingerprint.add(package));
    let folder =
        paths::cache()
            .join("debian")
            .join(format!("{name}-{}-{}", arch.docker(), fingerprint.finish()));
    publish::once(&folder, |draft| {
        run::step(&format!(
            "fetching {} packages for {name} on {}",
            wanted.len(),
            arch.docker()
        ));
        let downloads = draft.with_extension("packages");
        publish::remove(&downloads)?;
        debian.download(&wanted, &downloads)?;
        fs::create_dir_all(draft)?;
        let files = fs::read_dir(&downloads)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .with_context(|| format!("cannot read {}", downloads.display()))?;
        for file in files {
            run::run(Command::new("dpkg-deb").arg("--extract").arg(file).arg(draft))?;
        }
        publish::remove(&downloads)
    })
}
