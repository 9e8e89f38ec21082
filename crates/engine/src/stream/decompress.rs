//! Decompressing blocks, so it has a thread of its own between two short channels. Whoever drops these ends the thread:
//! a client that sends nothing more holds none.

use std::io::{self, BufRead, BufReader};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Bytes that go to the thread or come from it at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Decompresses until the end of the stream, its first fault, or the end of who reads it. Blocks; to be called on a thread of
/// the runtime that may block.
pub(super) fn decompress(mut packed: mpsc::Receiver<Bytes>, unpacked: &mpsc::Sender<io::Result<Bytes>>) {
    let chunks = stream::poll_fn(move |context| {
        packed
            .poll_recv(context)
            .map(|chunk| chunk.map(Ok::<_, io::Error>))
    });
    let mut plain = match store::decompressor(SyncIoBridge::new(StreamReader::new(chunks))) {
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
