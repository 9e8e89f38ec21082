//! A layer's archive, made again and compressed with gzip (RFC 1952), as registries keep layers.
//!
//! The same layer always gives the same bytes, so that a registry that was given it once knows it again: neither a time
//! nor a name is in the header.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Weak;

use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::TarReader;
use crate::digest::Digest;
use crate::error::LayerError;

/// Bytes of the archive that are compressed at once.
const CHUNK: usize = 256 << 10;

/// A layer that was compressed.
#[derive(Debug)]
pub(crate) struct Compressed {
    /// Digest of the archive that went in.
    pub(crate) diff_id: Digest,
    /// Digest of what came out.
    pub(crate) digest: Digest,
    /// Length of what came out, in bytes.
    pub(crate) size: u64,
}

/// Compresses an archive into an empty file. Stops when nobody holds what `wanted` points to. Blocks.
pub(crate) fn compress(
    mut archive: TarReader,
    file: File,
    wanted: &Weak<()>,
) -> Result<Compressed, LayerError> {
    let out = Hashing {
        file,
        hasher: Sha256::new(),
        size: 0,
    };
    let mut encoder = GzEncoder::new(out, flate2::Compression::default());
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        if wanted.strong_count() == 0 {
            return Err(LayerError::GivenUp);
        }
        let read = match archive.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            break;
        }
        let read = buffer.get(..read).unwrap_or_default();
        hasher.update(read);
        encoder.write_all(read)?;
    }
    let out = encoder.finish()?;
    Ok(Compressed {
        diff_id: Digest::from_hasher(hasher),
        digest: Digest::from_hasher(out.hasher),
        size: out.size,
    })
}

/// A file whose bytes are hashed and counted on their way to it.
struct Hashing {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.size = self.size.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
