//! Attaching over a WebSocket (RFC 6455): `GET /containers/{id}/attach/ws` of the Docker Engine API.
//!
//! The container's output comes as messages, stdout and stderr in one, just as they were written. What the client's
//! messages hold is the container's input. A WebSocket has no half-close: the close of either side is the end of both
//! directions, and the container goes on without the client.

mod handshake;
mod text;

use std::io;

use bytes::Bytes;
use engine::{Attached, Chunk, Input};
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits;
use crate::version::ApiVersion;
pub(crate) use handshake::Handshake;
use text::Texts;

/// What the messages with the container's output are.
#[derive(Debug)]
pub(crate) enum Kind {
    Binary,
    /// Text is UTF-8, whatever the container writes.
    Text(Texts),
}

impl Kind {
    /// Until API 1.28 output came as text.
    pub(crate) fn of(version: ApiVersion) -> Self {
        if version < ApiVersion::new(1, 28) {
            Self::Text(Texts::default())
        } else {
            Self::Binary
        }
    }

    fn message(&mut self, chunk: Chunk) -> Message {
        match self {
            Self::Binary => Message::Binary(chunk.bytes),
            Self::Text(texts) => Message::text(texts.push(chunk.channel, &chunk.bytes)),
        }
    }

    /// What was held back because its end had not come.
    fn rest(&mut self) -> Option<Message> {
        match self {
            Self::Binary => None,
            Self::Text(texts) => texts.rest().map(Message::text),
        }
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(limits::WEBSOCKET_BUFFER)
        .write_buffer_size(limits::WEBSOCKET_BUFFER)
        .max_write_buffer_size(limits::WEBSOCKET_BACKLOG)
        .max_message_size(Some(limits::WEBSOCKET_MESSAGE))
        .max_frame_size(Some(limits::WEBSOCKET_MESSAGE))
}

/// Carries a process's streams over a connection whose handshake is done, until the last byte of output was written
/// or the client closes.
pub(crate) async fn carry(
    attached: Attached,
    mut kind: Kind,
    connection: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config())).await;
    let (mut sink, mut stream) = socket.split();
    let Attached {
        mut output, input, ..
    } = attached;
    let writing = async {
        while let Some(chunk) = output.recv().await {
            sink.send(kind.message(chunk)).await?;
        }
        match kind.rest() {
            Some(rest) => sink.send(rest).await,
            None => Ok(()),
        }
    };
    let ended = tokio::select! {
        biased;
        written = writing => written,
        read = read_input(&mut stream, input) => read,
    };
    // Nobody waits for this client any more.
    drop(output);
    let farewell = async {
        if let Some(code) = close_code(&ended) {
            let reason = "".into();
            // Where the client has closed already, reading answers it.
            let _ = sink.send(Message::Close(Some(CloseFrame { code, reason }))).await;
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    let _ = tokio::time::timeout(limits::WEBSOCKET_FAREWELL, farewell).await;
    ended.map_err(io::Error::other)
}

/// Passes what the client's messages hold on until its close.
async fn read_input(
    stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    mut input: Option<Input>,
) -> Result<(), Error> {
    while let Some(message) = stream.next().await {
        let bytes = match message? {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => break,
            // Pings are answered where they are read.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        // Once the process takes no more, the rest is read and dropped so that the client does not block.
        if let Some(open) = &mut input
            && open.write(bytes).await.is_err()
        {
            input = None;
        }
    }
    Ok(())
}

/// What the client is told of the end; `None` where it is gone (RFC 6455, section 7.4.1).
fn close_code(ended: &Result<(), Error>) -> Option<CloseCode> {
    match ended {
        Ok(()) => Some(CloseCode::Normal),
        Err(Error::Capacity(_)) => Some(CloseCode::Size),
        Err(Error::Utf8(_)) => Some(CloseCode::Invalid),
        Err(Error::Protocol(_)) => Some(CloseCode::Protocol),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
