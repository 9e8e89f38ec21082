//! Windows.

use std::io;
use std::path::Path;

/// NTFS journals names with the file itself, and a folder cannot be synced.
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
