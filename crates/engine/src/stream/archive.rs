//! Archives as clients send them (`PUT /containers/{id}/archive`): a tar, plain or compressed with gzip (RFC 1952). What
//! it is, its first bytes tell. The guest sees the tar only.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::drain;

/// Bytes that tell a compression.
const START: u64 = 6;
/// Bytes that are inflated at once. Each may stand for 1032, all of which are held for the guest.
const READ: usize = 1 << 10;

/// The archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error(
        "the archive is compressed with {0}, which sampan does not read: send it as it is, or compressed with gzip"
    )]
    Compression(&'static str),
    #[error("the archive is not what gzip made: {0}")]
    Broken(io::Error),
}

/// An archive whose first bytes were looked at.
#[derive(Debug)]
pub(crate) struct Archive<R> {
    start: Vec<u8>,
    rest: R,
    gzip: bool,
}

impl<R: AsyncRead + Unpin> Archive<R> {
    /// Waits for the first bytes. Those that cannot be read belong to a client that has gone, whose archive is empty.
    pub(crate) async fn open(mut rest: R) -> Result<Self, ArchiveError> {
        let mut start = Vec::new();
        let _ = (&mut rest).take(START).read_to_end(&mut start).await;
        let gzip = match start.as_slice() {
            [0x1f, 0x8b, ..] => true,
            [b'B', b'Z', b'h', ..] => return Err(ArchiveError::Compression("bzip2")),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(ArchiveError::Compression("xz")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(ArchiveError::Compression("zstd")),
            _ => false,
        };
        Ok(Self { start, rest, gzip })
    }

    /// Writes the tar until the archive or the writer's reader ends.
    pub(crate) async fn copy_to(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), ArchiveError> {
        let start = std::mem::take(&mut self.start);
        let mut source = io::Cursor::new(start).chain(&mut self.rest);
        if !self.gzip {
            let _ = tokio::io::copy(&mut source, writer).await;
            return Ok(());
        }
        let mut decoder = MultiGzDecoder::new(Vec::new());
        let mut buffer = vec![0; READ];
        loop {
            let read = source.read(&mut buffer).await.unwrap_or(0);
            let compressed = buffer.get(..read).unwrap_or_default();
            let inflated = match read {
                0 => decoder.try_finish(),
                _ => decoder.write_all(compressed),
            };
            // What came before the fault goes on: a tar may have ended there.
            let plain = std::mem::take(decoder.get_mut());
            if writer.write_all(&plain).await.is_err() {
                return Ok(());
            }
            inflated.map_err(ArchiveError::Broken)?;
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Reads what the client still sends, in bounds.
    pub(crate) async fn drain(self) {
        drain(self.rest).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(sent: &[u8]) -> (Vec<u8>, Result<(), ArchiveError>) {
        let mut plain = Vec::new();
        let copied = match Archive::open(sent).await {
            Ok(mut archive) => archive.copy_to(&mut plain).await,
            Err(error) => Err(error),
        };
        (plain, copied)
    }

    #[tokio::test]
    async fn a_plain_archive_arrives_as_it_is_however_short() {
        for sent in [&b""[..], b"ab", &b"tar".repeat(9999)] {
            let (plain, copied) = read(sent).await;
            assert!(copied.is_ok() && plain == sent);
        }
    }

    #[tokio::test]
    async fn members_of_gzip_one_after_another_are_one_archive() {
        let (first, second) = (b"a".repeat(3_000_000), b"bc".repeat(777));
        let (plain, copied) = read(&[gzip(&first), gzip(&second)].concat()).await;
        copied.unwrap();
        assert!(plain == [first, second].concat());
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_an_error_after_what_could_be_read() {
        let mut whole = gzip(&b"some text that is long enough ".repeat(5000));
        whole.truncate(whole.len() / 2);
        let (plain, copied) = read(&whole).await;
        assert!(matches!(copied, Err(ArchiveError::Broken(_))));
        assert!(plain.starts_with(b"some text"));
    }

    #[tokio::test]
    async fn a_compression_that_is_not_read_is_named() {
        for (sent, name) in [
            (&b"BZh91AY"[..], "bzip2"),
            (b"\xfd7zXZ\0\0", "xz"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd"),
        ] {
            let error = read(sent).await.1.unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("the archive is compressed with {name},")),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read(&[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat()));
        }
    }
}
