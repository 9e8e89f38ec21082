//! The tasks that move bytes between a process's vsock streams and its log and clients.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use super::{Channel, Chunk, Hub};
use crate::log::{LineSplitter, LogFile};

/// The most that is read at once.
const READ: usize = 64 << 10;
/// How long a stream may be silent, once its process is known to have ended, before it counts as ended too.
const SILENCE_AFTER_EXIT: Duration = Duration::from_secs(10);

/// Reads an output stream to its end: log first, then every attached client. `exited` becomes true when the
/// guest tells the end of the process; the guest then has handed every byte to the stream, so what does not
/// come within a few seconds never will.
pub(crate) async fn pump_output(
    channel: Channel,
    mut stream: impl AsyncRead + Unpin,
    log: Option<Arc<LogFile>>,
    hub: Arc<Hub>,
    mut exited: watch::Receiver<bool>,
) {
    let mut splitter = LineSplitter::new(channel);
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() < READ / 8 {
            buffer.reserve(READ);
        }
        let ended = *exited.borrow();
        let read = if ended {
            match tokio::time::timeout(SILENCE_AFTER_EXIT, stream.read_buf(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => break,
            }
        } else {
            tokio::select! {
                read = stream.read_buf(&mut buffer) => read,
                changed = exited.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => break,
                },
            }
        };
        match read {
            Ok(1..) => {}
            // The machine went away, or the end of the stream.
            Ok(0) | Err(_) => break,
        }
        let bytes = buffer.split().freeze();
        if let Some(log) = &log {
            log.append(&mut splitter, &bytes);
        }
        hub.publish(Chunk { channel, bytes }).await;
    }
    if let Some(log) = &log {
        log.append_rest(&mut splitter);
    }
}

/// Writes what clients send until they end it or the process takes no more.
pub(crate) async fn pump_input(mut input: mpsc::Receiver<Bytes>, mut stream: impl AsyncWrite + Unpin) {
    while let Some(bytes) = input.recv().await {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
