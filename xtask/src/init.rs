//! The initramfs of a machine: PID 1, the console it is started on, and the folders it mounts over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::{cpio, musl, paths};

/// Mount points that exist before PID 1 mounts anything.
const FOLDERS: &[&str] = &["dev", "proc", "run", "sys", "tmp"];

/// Builds `guest-init` and packs it; returns the path of the archive.
///
/// # Errors
/// When it does not compile.
pub fn build(arch: Architecture) -> Result<PathBuf> {
    let init = musl::build("guest-init", "init", arch)?;
    let archive = paths::target()
        .join("guest")
        .join(format!("initramfs-{}", arch.docker()));
    pack(&init, &BTreeSet::new(), &archive)?;
    Ok(archive)
}

/// Packs `init` as the PID 1 of an initramfs at `archive`, and `libraries` at the paths that they have here.
///
/// # Errors
/// Those of the file system.
pub fn pack(init: &Path, libraries: &BTreeSet<PathBuf>, archive: &Path) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut cpio = cpio::Archive::default();
    for folder in FOLDERS {
        cpio.directory(folder);
    }
    cpio.character_device("dev/console", 5, 1);
    cpio.executable("init", &read(init)?);
    let inside = |path: &Path| path.to_string_lossy().trim_start_matches('/').to_owned();
    let folders: BTreeSet<_> = libraries
        .iter()
        .flat_map(|path| path.ancestors().skip(1))
        .collect();
    // A folder comes before what it holds.
    for folder in folders
        .into_iter()
        .map(inside)
        .filter(|folder| !folder.is_empty())
    {
        cpio.directory(&folder);
    }
    for library in libraries {
        cpio.executable(&inside(library), &read(library)?);
    }
    let draft = archive.with_extension("draft");
    std::fs::write(&draft, cpio.finish())
        .and_then(|()| std::fs::rename(&draft, archive))
        .with_context(|| format!("cannot write {}", archive.display()))
}
