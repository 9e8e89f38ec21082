//! Packing of rotated files by gzip (RFC 1952), in the background: output is not held up by it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Weak};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::file::LogFile;
use crate::lock::LockExt;

/// Bytes packed at once; in between it is looked whether the log is still wanted.
const BLOCK: usize = 64 << 10;

/// Packs in a thread of the runtime's until every rotated file is packed, or the log is gone.
pub(super) fn start(log: &Arc<LogFile>) {
    let log = Arc::downgrade(log);
    tokio::task::spawn_blocking(move || run(&log));
}

/// Packs what is not packed. Blocks.
pub(super) fn run(log: &Weak<LogFile>) {
    let Some(packer) = log.upgrade().map(|log| log.packer()) else {
        return;
    };
    loop {
        // Whoever deletes the files waits for this.
        let _packing = packer.locked();
        let Some((sequence, file, packed)) = log.upgrade().and_then(|log| log.begin_packing()) else {
            return;
        };
        let written = pack(log, file, &packed);
        match log.upgrade() {
            Some(log) => log.end_packing(sequence, &packed, written),
            None => return,
        }
    }
}

fn pack(log: &Weak<LogFile>, mut from: File, to: &Path) -> io::Result<()> {
    let mut encoder = GzEncoder::new(File::create(to)?, Compression::default());
    let mut block = vec![0; BLOCK];
    loop {
        if log.upgrade().is_none_or(|log| log.is_retired()) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = from.read(&mut block)?;
        match block.get(..count) {
            None | Some([]) => break,
            Some(bytes) => encoder.write_all(bytes)?,
        }
    }
    encoder.finish()?.sync_all()
}
