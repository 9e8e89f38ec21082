//! The shared libraries of programs that are linked for this computer, for a Linux that has nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// Where the dynamic linker finds what these programs need, itself among them (ldd(1)).
///
/// # Errors
/// When a program is not linked dynamically, or something that it needs is not there.
pub fn of(programs: &[&Path]) -> Result<BTreeSet<PathBuf>> {
    let mut paths = BTreeSet::new();
    for program in programs {
        let told = run::output(Command::new("ldd").arg(program))?;
        for line in told.lines() {
            paths.extend(path(line).with_context(|| format!("{} needs {}", program.display(), line.trim()))?);
        }
    }
    Ok(paths)
}

/// The path in a line of `ldd`: `NAME => PATH (ADDRESS)`, `PATH (ADDRESS)`, or `NAME (ADDRESS)` for what the kernel
/// brings along. `None`: it was not found.
fn path(line: &str) -> Option<Option<PathBuf>> {
    let (found, _) = line.trim().rsplit_once(" (")?;
    let path = found.rsplit_once("=> ").map_or(found, |(_, path)| path);
    Some(path.starts_with('/').then(|| PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_linker_are_found_and_the_kernels_own_is_left_out() {
        assert_eq!(
            path("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)"),
            Some(Some("/lib/libc.so.6".into()))
        );
        assert_eq!(
            path("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"),
            Some(Some("/lib64/ld-linux-x86-64.so.2".into()))
        );
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007f)"), Some(None));
    }

    #[test]
    fn a_library_that_is_not_found_is_no_path() {
        assert_eq!(path("\tlibfoo.so => not found"), None);
    }
}
