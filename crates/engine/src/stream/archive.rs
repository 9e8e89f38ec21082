//! Archives as clients send them (`PUT /containers/{id}/archive`): a tar, plain or compressed in any way that the store
//! reads. The guest sees the tar only.
//!
//! Decompressing blocks, so it has a thread of its own between two short channels. Whoever drops the copy drops the
//! channels, and the thread ends with them: a client that sends nothing more holds none.

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes, BytesMut};
use store::Compression;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::drain;

/// Bytes that go to the thread or come from it at once.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait on either side.
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
        let mut source = io::Cursor::new(start).chain(&mut self.rest);
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

/// Decompresses until the end of the stream or of its readers.
fn decompress(packed: mpsc::Receiver<Bytes>, unpacked: &mpsc::Sender<io::Result<Bytes>>) {
    let packed = Chunks {
        receiver: packed,
        current: Bytes::new(),
    };
    let mut plain = match store::decompressor(packed) {
        Ok(plain) => BufReader::with_capacity(CHUNK, plain),
        Err(error) => return drop(unpacked.blocking_send(Err(error))),
    };
    loop {
        let chunk = match plain.fill_buf() {
            Ok([]) => return,
            Ok(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let length = chunk.as_ref().map_or(0, Bytes::len);
        if unpacked.blocking_send(chunk).is_err() || length == 0 {
            return;
        }
        plain.consume(length);
    }
}

/// What a channel brings, to be read by a thread.
struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, length: usize) {
        self.current.advance(length.min(self.current.len()));
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
