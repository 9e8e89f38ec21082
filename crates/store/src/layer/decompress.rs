//! The compression of a layer or of another archive: gzip (RFC 1952), zstd (RFC 8878), bzip2, xz (the .xz file format
//! 1.2), or none. Several members, frames or streams, one after another, are one. What it is, its first bytes tell; media
//! types of old images are not always right.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use serde::{Deserialize, Serialize};

use crate::error::LayerError;

/// Largest window of a zstd frame, in bytes; it is held in memory. zstd's own default for readers.
const MAX_WINDOW: u64 = 128 << 20;
/// Memory for a block of xz, in KiB. Its highest preset, -9, asks for a dictionary of 64 MiB.
const XZ_MEMORY: u32 = 160 << 10;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    /// Bytes that tell a compression.
    pub const START: usize = 4;

    /// Told by the first bytes: at least [`Compression::START`], fewer only if there are no more.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', ..] => Self::Xz,
            _ => Self::None,
        }
    }
}

/// The uncompressed bytes of `source`. Errors of a broken stream are [`LayerError::Compression`]. Reading blocks as
/// `source` does, and holds at most 160 MiB.
pub fn decompressor<'a>(mut source: impl BufRead + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    // One more byte than the first read may bring is rare enough to read on by hand.
    let mut start = Vec::with_capacity(Compression::START);
    source
        .by_ref()
        .take(Compression::START as u64)
        .read_to_end(&mut start)?;
    let compression = Compression::detect(&start);
    let source = io::Cursor::new(start).chain(source);
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(Named(MultiGzDecoder::new(source))),
        Compression::Zstd => Box::new(Named(ZstdFrames {
            source,
            decoder: None,
        })),
        Compression::Bzip2 => Box::new(Named(MultiBzDecoder::new(source))),
        Compression::Xz => Box::new(Named(XzReader::new_mem_limit(source, true, XZ_MEMORY))),
    })
}

/// Turns a decoder's own errors into [`LayerError::Compression`], and leaves those of the source.
struct Named<R>(R);

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => LayerError::Truncated.into(),
            io::ErrorKind::Interrupted => error,
            _ => match error.downcast::<LayerError>() {
                Ok(inner) => inner.into(),
                Err(error) => LayerError::Compression(error.to_string()).into(),
            },
        })
    }
}

/// All frames of a zstd stream.
struct ZstdFrames<R> {
    source: R,
    /// The decoder, once there is a frame.
    decoder: Option<FrameDecoder>,
}

impl<R: BufRead> ZstdFrames<R> {
    /// Begins the next frame; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let decoder = self.decoder.get_or_insert_with(|| {
                let mut decoder = FrameDecoder::new();
                decoder.set_max_window_size(MAX_WINDOW);
                decoder
            });
            match decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let done = self
                .decoder
                .as_ref()
                .is_none_or(|d| d.is_finished() && d.can_collect() == 0);
            if done && !self.next_frame()? {
                return Ok(0);
            }
            let Some(decoder) = &mut self.decoder else {
                return Ok(0);
            };
            while decoder.can_collect() < buffer.len() && !decoder.is_finished() {
                let wanted = buffer.len() - decoder.can_collect();
                let strategy = ruzstd::decoding::BlockDecodingStrategy::UptoBytes(wanted);
                decoder
                    .decode_blocks(&mut self.source, strategy)
                    .map_err(io::Error::other)?;
            }
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder =
            lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, LayerError> {
        let mut out = Vec::new();
        decompressor(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn members_and_frames_one_after_another_are_one_stream() {
        let (a, b) = (b"a".repeat(300_000), b"bcd".repeat(5));
        let whole = [a.clone(), b.clone()].concat();
        for pack in [gzip, bzip2, xz] {
            assert_eq!(read(&[pack(&a), pack(&b)].concat()).unwrap(), whole);
        }
        let skippable = [&[0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        assert_eq!(
            read(&[skippable.clone(), zstd(&a), skippable, zstd(&b)].concat()).unwrap(),
            whole
        );
        assert_eq!(read(&whole).unwrap(), whole);
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn a_stream_cut_short_is_truncated_and_a_broken_one_is_named() {
        let packed = gzip(&b"some text that is long enough".repeat(100));
        assert!(matches!(
            read(&packed[..packed.len() - 9]),
            Err(LayerError::Truncated)
        ));
        let mut broken = packed.clone();
        let middle = broken.len() / 2;
        broken[middle] ^= 0x55;
        assert!(matches!(
            read(&broken),
            Err(LayerError::Compression(_) | LayerError::Truncated)
        ));
        assert!(matches!(read(b"BZh91AY"), Err(LayerError::Truncated)));
        assert!(matches!(read(b"BZhello"), Err(LayerError::Compression(_))));
        for pack in [zstd, bzip2, xz] {
            let packed = pack(&b"some text that is long enough".repeat(100));
            assert!(read(&packed[..packed.len() - 3]).is_err());
        }
    }

    #[test]
    fn a_dictionary_of_xz_beyond_its_memory_is_refused() {
        let mut options = lzma_rust2::XzOptions::with_preset(9);
        options.lzma_options.dict_size = 256 << 20;
        let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        encoder.write_all(b"small").unwrap();
        let error = read(&encoder.finish().unwrap()).unwrap_err();
        assert!(matches!(error, LayerError::Compression(_)), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..300), magic in 0..5) {
            let magic: &[u8] = match magic {
                0 => &[0x1f, 0x8b, 8, 0],
                1 => &[0x28, 0xb5, 0x2f, 0xfd],
                2 => b"BZh91AY&SY",
                3 => b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21\x01\x16\0\0\0\x74\x2f\xe5\xa3",
                _ => &[],
            };
            let _ = read(&[magic, &bytes].concat());
        }
    }
}
