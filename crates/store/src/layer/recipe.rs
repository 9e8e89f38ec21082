//! How to make a layer's archive again: its headers as they were, and where the data lies in the EROFS file.
//!
//! ```text
//! "SAMPANR1"  length of the archive (64-bit little-endian)  deflated steps
//! step: 1 length bytes      these bytes
//!       2 offset length     this part of the EROFS file
//!       0                   the end
//! ```
//! Numbers within steps are LEB128. Deflate makes little of headers, which are mostly zeros.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::erofs::Extent;

const MAGIC: &[u8; 8] = b"SAMPANR1";
const END: u8 = 0;
const LITERAL: u8 = 1;
const EXTENT: u8 = 2;

/// Writes a recipe.
pub(super) struct RecipeWriter {
    out: DeflateEncoder<BufWriter<File>>,
    /// The last extent, held back for it may grow.
    pending: Option<Extent>,
}

impl RecipeWriter {
    pub(super) fn new(mut file: File) -> io::Result<Self> {
        file.write_all(MAGIC)?;
        file.write_all(&[0; 8])?;
        Ok(Self {
            out: DeflateEncoder::new(BufWriter::new(file), Compression::fast()),
            pending: None,
        })
    }

    pub(super) fn literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.flush_extent()?;
        self.out.write_all(&[LITERAL])?;
        self.number(bytes.len() as u64)?;
        self.out.write_all(bytes)
    }

    pub(super) fn extent(&mut self, extent: Extent) -> io::Result<()> {
        match &mut self.pending {
            Some(last) if last.offset.checked_add(last.length) == Some(extent.offset) => {
                last.length = last.length.saturating_add(extent.length);
                Ok(())
            }
            _ => {
                self.flush_extent()?;
                self.pending = Some(extent);
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self, tar_length: u64) -> io::Result<File> {
        self.flush_extent()?;
        self.out.write_all(&[END])?;
        let mut file = self
            .out
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        file.write_all(&tar_length.to_le_bytes())?;
        Ok(file)
    }

    fn flush_extent(&mut self) -> io::Result<()> {
        let Some(extent) = self.pending.take() else {
            return Ok(());
        };
        self.out.write_all(&[EXTENT])?;
        self.number(extent.offset)?;
        self.number(extent.length)
    }

    fn number(&mut self, mut value: u64) -> io::Result<()> {
        while value >= 0x80 {
            self.out.write_all(&[(value & 0x7f) as u8 | 0x80])?;
            value >>= 7;
        }
        self.out.write_all(&[value as u8])
    }
}

/// Makes the archive again, as a stream.
pub(crate) struct TarReader {
    recipe: DeflateDecoder<BufReader<File>>,
    image: File,
    step: Step,
    length: u64,
}

enum Step {
    Literal(u64),
    Extent(u64),
    End,
}

impl TarReader {
    /// From a layer's two files. Blocks on file I/O, as does reading.
    pub(crate) fn new(mut recipe: File, image: File) -> io::Result<Self> {
        let mut head = [0; 16];
        recipe.read_exact(&mut head)?;
        let (magic, length) = head.split_at(MAGIC.len());
        let length = length
            .try_into()
            .map(u64::from_le_bytes)
            .map_err(io::Error::other)?;
        if magic != MAGIC {
            return Err(damaged());
        }
        let recipe = DeflateDecoder::new(BufReader::new(recipe));
        Ok(Self {
            recipe,
            image,
            step: Step::Literal(0),
            length,
        })
    }

    /// Length of the archive in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.recipe.read_exact(&mut byte)?;
            let [byte] = byte;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn next_step(&mut self) -> io::Result<Step> {
        let mut kind = [0];
        self.recipe.read_exact(&mut kind)?;
        match kind {
            [END] => Ok(Step::End),
            [LITERAL] => Ok(Step::Literal(self.number()?)),
            [EXTENT] => {
                let offset = self.number()?;
                self.image.seek(SeekFrom::Start(offset))?;
                Ok(Step::Extent(self.number()?))
            }
            _ => Err(damaged()),
        }
    }
}

impl Read for TarReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let (source, left): (&mut dyn Read, _) = match &mut self.step {
                Step::End => return Ok(0),
                Step::Literal(0) | Step::Extent(0) => {
                    self.step = self.next_step()?;
                    continue;
                }
                Step::Literal(left) => (&mut self.recipe, left),
                Step::Extent(left) => (&mut self.image, left),
            };
            let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            let read = source.read(buffer.get_mut(..length).unwrap_or_default())?;
            if read == 0 {
                return Err(damaged());
            }
            *left = left.saturating_sub(read as u64);
            return Ok(read);
        }
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the recipe of the layer is damaged")
}
