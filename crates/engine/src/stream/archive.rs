//! Archives as clients send them (`PUT /containers/{id}/archive`): a tar, plain or compressed in any way that the store
//! reads. The guest sees the tar only.

use std::io;

use bytes::{Bytes, BytesMut};
use store::Compression;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::decompress::{CHUNK, decompress};
use super::drain;

/// Chunks that may wait on either side of the thread that decompresses.
const CHUNKS: usize = 2;

/// The archive cannot be decompressed.
#[derive(Debug, thiserror::Error)]
#[error("the archive cannot be read: {0}")]
pub(crate) struct ArchiveError(#[from] io::Error);

/// An archive whose first bytes were looked at.
#[derive(Debug)]
pub(crate) struct Archive<R> {
    start: Bytes,
    rest: R,
    compressed: bool,
}

impl<R: AsyncRead + Unpin> Archive<R> {
    /// Waits for the first bytes. Those that cannot be read belong to a client that has gone, whose archive is empty.
    pub(crate) async fn open(mut rest: R) -> Self {
        let mut start = Vec::new();
        let _ = (&mut rest)
            .take(Compression::START as u64)
            .read_to_end(&mut start)
            .await;
        Self {
            compressed: Compression::detect(&start) != Compression::None,
            start: start.into(),
            rest,
        }
    }

    /// Writes the tar until the archive or the writer's reader ends. What comes before a fault is written: a tar may have
    /// ended there.
    pub(crate) async fn copy_to(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), ArchiveError> {
        let start = std::mem::take(&mut self.start);
        let mut source = AsyncReadExt::chain(io::Cursor::new(start), &mut self.rest);
        if !self.compressed {
            let _ = tokio::io::copy(&mut source, writer).await;
            return Ok(());
        }
        let (sent, packed) = mpsc::channel(CHUNKS);
        let (unpacked, mut plain) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || decompress(packed, &unpacked));
        let feed = async {
            loop {
                let mut chunk = BytesMut::with_capacity(CHUNK);
                let read = source.read_buf(&mut chunk).await.unwrap_or(0);
                if read == 0 || sent.send(chunk.freeze()).await.is_err() {
                    return;
                }
            }
        };
        let write = async {
            while let Some(chunk) = plain.recv().await {
                if writer.write_all(&chunk?).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        // The end of what is fed ends the thread, and with it what is written; a thread that has ended takes no more.
        let mut write = std::pin::pin!(write);
        tokio::select! {
            written = &mut write => return written,
            () = feed => {}
        }
        drop(sent);
        write.await
    }

    /// Reads what the client still sends, in bounds.
    pub(crate) async fn drain(self) {
        drain(self.rest).await;
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

    async fn read(sent: &[u8]) -> (Vec<u8>, Result<(), ArchiveError>) {
        let mut plain = Vec::new();
        let copied = Archive::open(sent).await.copy_to(&mut plain).await;
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
    async fn a_compressed_archive_arrives_whole() {
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
        assert_eq!(
            copied.unwrap_err().to_string(),
            "the archive cannot be read: it is truncated"
        );
        assert!(plain.starts_with(b"some text"));
    }

    #[tokio::test]
    async fn a_writer_that_has_gone_ends_the_copy_of_an_endless_archive() {
        let packed = gzip(&vec![0; 8 << 20]);
        let endless = (&packed[..]).chain(tokio::io::repeat(0));
        let (mut writer, reader) = tokio::io::duplex(16);
        drop(reader);
        assert!(Archive::open(endless).await.copy_to(&mut writer).await.is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read(&[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat()));
        }
    }
}
