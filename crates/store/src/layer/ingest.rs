//! Takes a layer's bytes as they arrive, checks them, and turns them into files.
//!
//! Two threads share the work: one hashes and inflates, the other hashes the archive and writes the image. The
//! download feeds the first through a bounded channel, so a slow disk slows the network down and nothing piles up.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::{Buf, Bytes};
use sha2::{Digest as _, Sha256};

use super::{Compression, Converted, convert, decompressor};
use crate::config::Limits;
use crate::digest::Digest;
use crate::error::LayerError;

/// Bytes that go from one thread to the other at once.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait between the threads.
const CHUNKS: usize = 4;

/// What a download sends. A channel that closes without an end was given up.
#[derive(Debug)]
pub(crate) enum Feed {
    Data(Bytes),
    End,
}

/// The two empty files that a layer becomes, and the folder they are in.
pub(crate) struct LayerFiles<'a> {
    pub(crate) image: File,
    pub(crate) recipe: File,
    pub(crate) folder: &'a Path,
}

/// Where the compressed bytes of a layer come from.
pub(crate) enum Source {
    /// A download; what an earlier one left in `partial` comes first, and what arrives is added to it.
    Download {
        partial: File,
        feed: tokio::sync::mpsc::Receiver<Feed>,
    },
    /// All of a reader.
    Reader(Box<dyn Read + Send>),
}

/// Converts a layer, and tells how it was compressed. `promised` is the digest and length that the manifest tells of the
/// compressed bytes, if there is one. Blocks; must not run on an async thread.
pub(crate) fn ingest(
    source: Source,
    promised: Option<(&Digest, u64)>,
    files: LayerFiles<'_>,
    limits: &Limits,
) -> Result<(Converted, Compression), LayerError> {
    let limit = promised.map_or(u64::MAX, |(_, length)| length);
    let mut compressed = Compressed::new(source, limit)?;
    let (sender, receiver) = sync_channel(CHUNKS);
    let LayerFiles {
        image,
        recipe,
        folder,
    } = files;
    let result = thread::scope(|scope| {
        let inflater = thread::Builder::new()
            .name("inflate layer".to_owned())
            .spawn_scoped(scope, || inflate(&mut compressed, sender, limits))?;
        let converted = convert(Chunks::new(receiver), image, recipe, folder, limits);
        inflater
            .join()
            .map_err(|_| LayerError::Io(io::Error::other("a worker ended early")))?;
        converted
    });
    let compression = Compression::detect(&compressed.start);
    let result = result.map(|converted| (converted, compression));
    let Some((wanted, _)) = promised else {
        return result;
    };
    let is_about_content = match &result {
        Ok(_) => true,
        Err(
            LayerError::Truncated
            | LayerError::Compression(_)
            | LayerError::Entry { .. }
            | LayerError::Path { .. },
        ) => true,
        Err(_) => false,
    };
    if is_about_content {
        // Bytes that were altered on the way are told as such, whatever they broke first.
        let found = compressed.finish()?;
        if found != *wanted {
            return Err(LayerError::Digest {
                wanted: wanted.clone(),
                found,
            });
        }
    }
    result
}

type Chunk = Result<Vec<u8>, LayerError>;

/// Inflates into the channel, errors included, in their place. Takes the sender, so that its end is the
/// converter's end of file.
fn inflate(compressed: &mut Compressed, sender: SyncSender<Chunk>, limits: &Limits) {
    // A send fails when the converter has given up; its error is the one that counts.
    if let Err(error) = inflate_all(compressed, limits, |chunk| sender.send(Ok(chunk)).is_ok()) {
        let _ = sender.send(Err(error));
    }
}

fn inflate_all(
    compressed: &mut Compressed,
    limits: &Limits,
    mut send: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), LayerError> {
    let taken = compressed.taken.clone();
    let mut plain = decompressor(compressed)?;
    let mut total = 0_u64;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        plain.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(());
        }
        total = total.saturating_add(chunk.len() as u64);
        if total > limits.layer {
            let reason = format!(
                "it takes more than the {} bytes that a layer may have",
                limits.layer
            );
            return Err(LayerError::Limit(reason));
        }
        let compressed = taken.load(Ordering::Relaxed).max(1);
        if total > limits.ratio_floor && total / compressed > limits.ratio {
            let reason = format!(
                "it grows to more than {} times its compressed size, as a decompression bomb does",
                limits.ratio
            );
            return Err(LayerError::Limit(reason));
        }
        if !send(chunk) {
            return Ok(());
        }
    }
}

/// The converter's end of the channel between the threads.
struct Chunks {
    receiver: Receiver<Chunk>,
    current: io::Cursor<Vec<u8>>,
}

impl Chunks {
    fn new(receiver: Receiver<Chunk>) -> Self {
        Self {
            receiver,
            current: io::Cursor::default(),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill_buf()?;
        self.current.read(buffer)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.current.has_remaining() {
            match self.receiver.recv() {
                Ok(Ok(chunk)) => self.current = io::Cursor::new(chunk),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Ok(&[]),
            }
        }
        self.current.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.current.consume(length);
    }
}

/// The compressed bytes, hashed and counted on their way.
struct Compressed {
    source: Source,
    /// Bytes of the partial file that are still to be read.
    stored: u64,
    current: Bytes,
    /// The first four bytes.
    start: Vec<u8>,
    ended: bool,
    hasher: Sha256,
    taken: Arc<AtomicU64>,
    limit: u64,
    received: u64,
}

impl Compressed {
    fn new(mut source: Source, limit: u64) -> io::Result<Self> {
        let stored = match &mut source {
            Source::Download { partial, .. } => {
                let length = partial.metadata()?.len();
                partial.seek(SeekFrom::Start(0))?;
                length
            }
            Source::Reader(_) => 0,
        };
        Ok(Self {
            source,
            stored,
            current: Bytes::new(),
            start: Vec::with_capacity(Compression::START),
            ended: false,
            hasher: Sha256::new(),
            taken: Arc::default(),
            limit,
            received: 0,
        })
    }

    /// The next bytes, none at the end.
    fn receive(&mut self) -> io::Result<Bytes> {
        let bytes = match &mut self.source {
            Source::Reader(reader) => read_chunk(reader, CHUNK as u64)?,
            Source::Download { partial, .. } if self.stored > 0 => {
                let bytes = read_chunk(partial, self.stored.min(CHUNK as u64))?;
                if bytes.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.stored = self.stored.saturating_sub(bytes.len() as u64);
                bytes
            }
            Source::Download { partial, feed } => match feed.blocking_recv() {
                Some(Feed::Data(bytes)) => {
                    partial.write_all(&bytes)?;
                    bytes
                }
                Some(Feed::End) => Bytes::new(),
                None => return Err(LayerError::GivenUp.into()),
            },
        };
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.limit {
            return Err(LayerError::TooLong(self.limit).into());
        }
        self.hasher.update(&bytes);
        let missing = Compression::START.saturating_sub(self.start.len());
        self.start.extend(bytes.iter().take(missing));
        Ok(bytes)
    }

    /// Takes in what is left and gives the digest of everything.
    fn finish(mut self) -> Result<Digest, LayerError> {
        while !self.fill_buf()?.is_empty() {
            self.current.clear();
        }
        Ok(Digest::from_hasher(self.hasher))
    }
}

fn read_chunk(reader: &mut impl Read, length: u64) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(usize::try_from(length).unwrap_or_default().min(CHUNK));
    reader.take(length).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

impl Read for Compressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.len().min(buffer.len());
        self.current
            .split_to(length)
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

impl BufRead for Compressed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() && !self.ended {
            self.current = self.receive()?;
            self.ended = self.current.is_empty();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, length: usize) {
        self.current.advance(length.min(self.current.len()));
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
    }
}
