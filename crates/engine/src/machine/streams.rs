//! Byte streams from the guest, matched by the one-time token that opens each.
//!
//! Whoever can open a vsock connection in the guest can reach this socket. A connection whose first 32 bytes
//! are not a token that is expected now is dropped, and one that does not send them soon is too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::Token;
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tracing::Instrument;

use crate::lock::LockExt;
use crate::sys::{Listener, ReadHalf, WriteHalf};

/// How long a connection may take to send its token.
const TOKEN_PATIENCE: Duration = Duration::from_secs(10);
/// Connections that may be without a token at a time; more wait in the socket's queue.
const MOST_UNKNOWN: usize = 1024;

type Expected = Arc<Mutex<HashMap<Token, oneshot::Sender<(ReadHalf, WriteHalf)>>>>;

/// Accepts a guest's streams for as long as it exists.
#[derive(Debug)]
pub(crate) struct Streams {
    expected: Expected,
    accepting: AbortHandle,
}

impl Streams {
    /// Begins to accept.
    pub(crate) fn new(listener: Listener) -> Self {
        let expected = Expected::default();
        let accepting = tokio::spawn(accept(listener, expected.clone()).in_current_span()).abort_handle();
        Self { expected, accepting }
    }

    /// Announces a stream.
    pub(crate) fn expect(&self, token: Token) -> ExpectedStream {
        let (sender, receiver) = oneshot::channel();
        self.expected.locked().insert(token.clone(), sender);
        ExpectedStream {
            token,
            receiver,
            expected: self.expected.clone(),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.accepting.abort();
        self.expected.locked().clear();
    }
}

/// A stream that the guest is to open. Dropping it makes its token worthless.
#[derive(Debug)]
pub(crate) struct ExpectedStream {
    token: Token,
    receiver: oneshot::Receiver<(ReadHalf, WriteHalf)>,
    expected: Expected,
}

impl ExpectedStream {
    /// Waits for the stream; `None` when it does not come in time, or never will.
    pub(crate) async fn connected(mut self, patience: Duration) -> Option<(ReadHalf, WriteHalf)> {
        tokio::time::timeout(patience, &mut self.receiver)
            .await
            .ok()?
            .ok()
    }
}

impl Drop for ExpectedStream {
    fn drop(&mut self) {
        self.expected.locked().remove(&self.token);
    }
}

async fn accept(listener: Listener, expected: Expected) {
    let unknown = Arc::new(Semaphore::new(MOST_UNKNOWN));
    loop {
        let Ok(place) = unknown.clone().acquire_owned().await else {
            return;
        };
        let (mut reader, writer) = match listener.accept().await {
            Ok(halves) => halves,
            Err(error) => {
                tracing::warn!(%error, "a stream could not be accepted");
                // Out of file descriptors: let others finish first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let expected = expected.clone();
        let serve = async move {
            let mut token = [0; Token::LENGTH];
            let read = tokio::time::timeout(TOKEN_PATIENCE, reader.read_exact(&mut token)).await;
            drop(place);
            if !matches!(read, Ok(Ok(_))) {
                return;
            }
            let sender = expected.locked().remove(&Token::new(token));
            match sender {
                Some(sender) => drop(sender.send((reader, writer))),
                None => tracing::warn!("a stream with an unknown token was dropped"),
            }
        };
        tokio::spawn(serve.in_current_span());
    }
}

#[cfg(all(test, unix))]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    fn token(byte: u8) -> Token {
        Token::new([byte; Token::LENGTH])
    }

    #[tokio::test]
    async fn a_stream_is_matched_by_its_token_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vsock_1025");
        let streams = Streams::new(Listener::bind(&path).unwrap());
        let expected = streams.expect(token(7));
        let mut guest = UnixStream::connect(&path).await.unwrap();
        guest.write_all(token(7).as_bytes()).await.unwrap();
        guest.write_all(b"payload").await.unwrap();
        guest.shutdown().await.unwrap();
        let (mut reader, _writer) = expected.connected(Duration::from_secs(60)).await.unwrap();
        let mut payload = String::new();
        reader.read_to_string(&mut payload).await.unwrap();
        assert_eq!(payload, "payload");

        let mut again = UnixStream::connect(&path).await.unwrap();
        again.write_all(token(7).as_bytes()).await.unwrap();
        let mut end = Vec::new();
        assert_eq!(again.read_to_end(&mut end).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn an_unknown_token_is_dropped_and_a_given_up_one_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vsock_1025");
        let streams = Streams::new(Listener::bind(&path).unwrap());
        drop(streams.expect(token(1)));
        for byte in [1, 2] {
            let mut guest = UnixStream::connect(&path).await.unwrap();
            guest.write_all(token(byte).as_bytes()).await.unwrap();
            let mut end = Vec::new();
            assert_eq!(guest.read_to_end(&mut end).await.unwrap_or(0), 0);
        }
    }
}
