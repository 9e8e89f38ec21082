//! Linux and macOS.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
