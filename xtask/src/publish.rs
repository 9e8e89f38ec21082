//! Putting a finished thing where others look for it: whole or not at all, and built by one process at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Returns `path`, which `build` makes first when it is not there yet.
///
/// `build` gets the path of a folder or file to make, beside the final one; when it succeeds, that is renamed. A
/// second process that wants the same thing waits for the first.
///
/// # Errors
/// Those of `build`, and those of the file system.
pub fn once(path: &Path, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    let parent = path.parent().context("a published path has a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let _lock = lock(path)?;
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    let draft = beside(path, "draft");
    remove(&draft)?;
    build(&draft)?;
    fs::rename(&draft, path).with_context(|| format!("cannot publish {}", path.display()))?;
    Ok(path.to_path_buf())
}

/// Copies `from` to `to`, which never exists half-written.
///
/// # Errors
/// Those of the file system.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let draft = beside(to, "draft");
    fs::copy(from, &draft)
        .and_then(|_| fs::rename(&draft, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Waits for, then holds, the lock that belongs to `path`. It is let go when the result is dropped.
///
/// # Errors
/// Those of the file system.
pub fn lock(path: &Path) -> Result<File> {
    let name = beside(path, "lock");
    if let Some(parent) = name.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let file = File::create(&name).with_context(|| format!("cannot create {}", name.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", name.display()))?;
    Ok(file)
}

/// Removes a file or a folder, if it is there.
///
/// # Errors
/// Those of the file system.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_publishes_nothing_and_the_next_one_starts_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing");
        let failed = once(&path, |draft| {
            fs::write(draft, "half")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err());
        assert!(!path.exists());
        once(&path, |draft| {
            assert!(!draft.exists());
            Ok(fs::write(draft, "whole")?)
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
    }

    #[test]
    fn what_is_there_is_not_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thing");
        once(&path, |draft| Ok(fs::write(draft, "first")?)).unwrap();
        once(&path, |_| anyhow::bail!("must not be called")).unwrap();
    }
}
