//! stdin on its way to the container.
//!
//! stdin is read by a thread of its own: a terminal or pipe that is shared with other processes must not be made
//! non-blocking. The thread ends with the process.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::detach::{Typed, Watch};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Reads that wait for the connection.
const QUEUE: usize = 8;

/// Sends stdin until its end, which becomes the connection's half-close; then never returns. Returns when the
/// detach keys were typed.
pub(crate) async fn send(mut writer: impl AsyncWrite + Unpin, detach_keys: Option<Vec<u8>>) {
    let mut watch = detach_keys.map(Watch::new);
    let mut reads = reader();
    while let Some(bytes) = reads.recv().await {
        let (bytes, detach) = match watch.as_mut().map(|watch| watch.look(&bytes)) {
            None => (bytes, false),
            Some(Typed::Input(bytes)) => (bytes, false),
            Some(Typed::Detach(bytes)) => (bytes, true),
        };
        // A container that is gone takes no input; its output tells the rest.
        if writer.write_all(&bytes).await.is_err() {
            break;
        }
        if detach {
            return;
        }
    }
    let _ = writer.shutdown().await;
    std::future::pending().await
}

fn reader() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = BytesMut::zeroed(READ);
        loop {
            match stdin.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                    if sender.blocking_send(bytes).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}
