//! Linux: a user's data lies where the XDG base directory specification says.

use std::env;
use std::path::PathBuf;

pub(crate) use super::unix::*;

/// What the operating system calls itself in `sampan version`.
pub(crate) const OS: &str = "linux";

/// The folder of a user's data.
pub(crate) fn data_folder() -> Option<PathBuf> {
    let chosen = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute());
    chosen.or_else(|| env::home_dir().map(|home| home.join(".local/share")))
}
