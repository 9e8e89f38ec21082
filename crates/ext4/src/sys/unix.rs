//! Linux and macOS: pwrite(2).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Every file is sparse here.
pub(crate) fn mark_sparse(_file: &File) -> io::Result<()> {
    Ok(())
}
