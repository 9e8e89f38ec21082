//! macOS: a user's data lies in the Library.

use std::env;
use std::path::PathBuf;

pub(crate) use super::unix::*;

/// What the operating system calls itself in `sampan version`.
pub(crate) const OS: &str = "darwin";

/// The folder of a user's data.
pub(crate) fn data_folder() -> Option<PathBuf> {
    env::home_dir().map(|home| home.join("Library/Application Support"))
}
