//! What is sent with a request. The bytes are read as the network takes them, so nothing of a layer is held in memory,
//! and a connection that takes none for long is given up.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{RequestBuilder, Response, Url};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

use super::failure::{RequestError, shown, unreachable};
use crate::error::StoreError;

/// Bytes that are read from a file at once.
const CHUNK: usize = 64 << 10;
/// How many times longer than for the network a registry is waited for when it has everything: it reads all of a layer
/// again, and may move it to where it stays.
const VERDICT: u32 = 10;

/// Bytes to send, as often as it takes.
#[derive(Debug)]
pub(crate) struct Content<'a> {
    source: Source<'a>,
    length: u64,
    /// How many of them the network has taken, in the try that goes on now.
    sent: watch::Sender<u64>,
}

#[derive(Debug)]
enum Source<'a> {
    Memory(Bytes),
    File(&'a NamedTempFile),
}

impl<'a> Content<'a> {
    pub(crate) fn of_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            length: bytes.len() as u64,
            source: Source::Memory(bytes),
            sent: watch::Sender::default(),
        }
    }

    /// All of a file, which is so long.
    pub(crate) fn of_file(file: &'a NamedTempFile, length: u64) -> Self {
        Self {
            source: Source::File(file),
            length,
            sent: watch::Sender::default(),
        }
    }

    /// Tells how many bytes are sent each time that there are more.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.sent.subscribe()
    }

    /// Sends a request with all of this.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        url: &Url,
        stall: Duration,
    ) -> Result<Response, RequestError> {
        let reader: Pin<Box<dyn AsyncRead + Send + Sync>> = match &self.source {
            Source::Memory(bytes) => Box::pin(Cursor::new(bytes.clone())),
            Source::File(file) => {
                let file = file
                    .reopen()
                    .map_err(|error| RequestError::Final(StoreError::io(file.path(), error)))?;
                Box::pin(tokio::fs::File::from_std(file))
            }
        };
        self.sent.send_replace(0);
        let body = Outgoing {
            reader,
            buffer: vec![0; CHUNK],
            left: self.length,
            sent: self.sent.clone(),
        };
        let request = request
            .header(CONTENT_LENGTH, self.length)
            .body(reqwest::Body::wrap(body));
        tokio::select! {
            response = request.send() => response.map_err(|error| unreachable(url, error)),
            () = self.stalled(stall) => {
                let (url, reason) = (shown(url), "no answer in time".to_owned());
                Err(RequestError::Passing(StoreError::Unreachable { url, reason }, None))
            }
        }
    }

    /// Ends when the network has taken nothing for too long, or the registry has had everything for too long.
    async fn stalled(&self, stall: Duration) {
        let mut sent = self.watch();
        loop {
            let patience = if *sent.borrow_and_update() < self.length {
                stall
            } else {
                stall.saturating_mul(VERDICT)
            };
            if timeout(patience, sent.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// A request's body: so many bytes of a reader.
struct Outgoing {
    reader: Pin<Box<dyn AsyncRead + Send + Sync>>,
    buffer: Vec<u8>,
    left: u64,
    sent: watch::Sender<u64>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let room = usize::try_from(this.left).unwrap_or(usize::MAX).min(CHUNK);
        let mut buffer = ReadBuf::new(this.buffer.get_mut(..room).unwrap_or_default());
        if let Err(error) = ready!(this.reader.as_mut().poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let read = Bytes::copy_from_slice(buffer.filled());
        if read.is_empty() {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        let length = read.len() as u64;
        this.left = this.left.saturating_sub(length);
        this.sent.send_modify(|sent| *sent = sent.saturating_add(length));
        Poll::Ready(Some(Ok(Frame::data(read))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
