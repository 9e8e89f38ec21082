//! Decompressing blocks, so it has a thread of its own between two short channels. Whoever drops these ends the thread:
//! a client that sends nothing more holds none.

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Bytes that go to the thread or come from it at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Decompresses until the end of the stream, its first fault, or the end of who reads it. Blocks.
pub(super) fn decompress(packed: mpsc::Receiver<Bytes>, unpacked: &mpsc::Sender<io::Result<Bytes>>) {
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
