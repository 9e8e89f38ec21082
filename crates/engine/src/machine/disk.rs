//! The data disk: a sparse ext4 image that holds what containers write.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::sys;

/// Makes the data disk where there is none, of this many bytes. Blocks; a crash leaves none or a whole one.
pub(crate) fn ensure(path: &Path, bytes: u64, uuid: [u8; 16]) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let temporary = path.with_extension("new");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)?;
    let options = ext4::Options {
        bytes,
        uuid,
        label: "sampan".to_owned(),
        created: SystemTime::now(),
    };
    ext4::format(&file, &options).map_err(io::Error::other)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => sys::sync_directory(folder),
        None => Ok(()),
    }
}
