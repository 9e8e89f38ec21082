//! Files that are there whole, before and after: written beside their place, synced, and renamed into it.

use std::io::{self, Write};
use std::path::Path;

/// Makes `bytes` the content of the file, which is its owner's alone.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    // Made with mode 0600.
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(bytes)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map(drop).map_err(|error| error.error)
}
