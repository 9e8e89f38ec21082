//! Connections that stop being HTTP: attach and exec.
//!
//! A client that sends `Upgrade: tcp` is answered `101 UPGRADED`; from then on the connection carries the
//! process's input one way and its output the other, framed (`frame`) or raw for a terminal. The client's
//! half-close ends the input and leaves the output. A client without `Upgrade` is answered `200` and then the
//! same bytes (`raw`); on a connection that carried other requests before, they are the answer's body, and there is no
//! input.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use engine::{Attached, Channel, Input};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use crate::body::{self, Response};
use crate::error::{ApiError, Result};
use crate::frame::{self, Stream};
use crate::limits;
use crate::raw::WithoutUpgrade;
use crate::server::Permit;
use crate::version::ApiVersion;

/// The content type of a stream.
pub(crate) fn content_type(version: ApiVersion, tty: bool) -> HeaderValue {
    HeaderValue::from_static(if tty || version < ApiVersion::STREAM_TYPES {
        "application/vnd.docker.raw-stream"
    } else {
        "application/vnd.docker.multiplexed-stream"
    })
}

/// What carries a process's streams.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// A connection that can be taken over. It is split from its request first, so that a body can still be read.
#[derive(Debug)]
pub(crate) struct Takeover {
    upgrade: Option<OnUpgrade>,
    permit: Option<Arc<Permit>>,
    plain: Option<WithoutUpgrade>,
}

impl Takeover {
    pub(crate) fn from<B>(request: &mut Request<B>) -> Self {
        let asked = request.headers().contains_key(UPGRADE);
        Self {
            upgrade: asked.then(|| hyper::upgrade::on(&mut *request)),
            permit: request.extensions().get().cloned(),
            plain: request.extensions().get().cloned(),
        }
    }

    /// Refuses to carry input where there is no way for it.
    pub(crate) fn check(&self, input: bool) -> Result<()> {
        if self.upgrade.is_some() || !input {
            return Ok(());
        }
        Err(ApiError::bad_request(
            "this connection cannot carry input: send the request first on its connection, or with \"Connection: \
             Upgrade\" and \"Upgrade: tcp\"",
        ))
    }

    /// Has `serve` take the connection over once the answer's head has been sent, which must be one of a switch.
    pub(crate) fn begin<F, S>(self, serve: S) -> Result<()>
    where
        S: FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send,
    {
        let upgrade = self.upgrade.ok_or_else(|| {
            ApiError::bad_request(
                "this connection cannot carry a stream: send the request first on its connection, or with \
                 \"Connection: Upgrade\" and \"Upgrade: tcp\"",
            )
        })?;
        switch(upgrade, self.permit, serve);
        Ok(())
    }

    /// Answers by taking the connection over. `serve` runs once the answer's head has been sent.
    pub(crate) fn answer<F, S>(self, version: ApiVersion, tty: bool, serve: S) -> Response
    where
        S: FnOnce(Box<dyn Carrier>) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send,
    {
        let content_type = content_type(version, tty);
        let Some(upgrade) = self.upgrade else {
            return in_body(content_type, serve);
        };
        switch(upgrade, self.permit, |connection| serve(Box::new(connection)));
        let mut response = body::empty(StatusCode::SWITCHING_PROTOCOLS);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if let Some(plain) = self.plain {
            plain.take_over();
        } else {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            response
                .headers_mut()
                .insert(UPGRADE, HeaderValue::from_static("tcp"));
            response
                .extensions_mut()
                .insert(ReasonPhrase::from_static(b"UPGRADED"));
        }
        response
    }
}

/// Serves a connection once it is no HTTP any more.
fn switch<F, S>(upgrade: OnUpgrade, permit: Option<Arc<Permit>>, serve: S)
where
    S: FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
    F: Future<Output = io::Result<()>> + Send,
{
    tokio::spawn(async move {
        let _permit = permit;
        let served = match upgrade.await {
            Ok(connection) => serve(TokioIo::new(connection)).await,
            Err(error) => Err(io::Error::other(error)),
        };
        tell(served);
    });
}

/// Answers with the output alone. A client that hangs up drops the body, which ends the stream.
fn in_body<F, S>(content_type: HeaderValue, serve: S) -> Response
where
    S: FnOnce(Box<dyn Carrier>) -> F + Send + 'static,
    F: Future<Output = io::Result<()>> + Send,
{
    let (ours, theirs) = tokio::io::duplex(limits::STREAM_READ);
    tokio::spawn(async move { tell(serve(Box::new(ours)).await) });
    body::stream(
        content_type,
        ReaderStream::with_capacity(theirs, limits::STREAM_READ),
    )
}

fn tell(served: io::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(%error, "a stream's connection ended early");
    }
}

/// Carries a process's streams over a connection until the last byte of output was written.
pub(crate) async fn carry(attached: Attached, connection: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let Attached {
        tty,
        mut output,
        input,
    } = attached;
    let (mut reader, mut writer) = tokio::io::split(connection);
    let reading = async {
        let ended = read_input(&mut reader, input).await;
        if let Err(error) = ended {
            return error;
        }
        std::future::pending().await
    };
    let writing = async {
        while let Some(chunk) = output.recv().await {
            write_chunk(&mut writer, tty, chunk.channel, chunk.bytes).await?;
        }
        writer.shutdown().await
    };
    tokio::select! {
        biased;
        written = writing => written,
        error = reading => Err(error),
    }
}

/// Passes the client's bytes on until its half-close.
async fn read_input(reader: &mut (impl AsyncRead + Unpin), mut input: Option<Input>) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(limits::STREAM_READ);
        if reader.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let bytes = buffer.split().freeze();
        // Once the process takes no more, the rest is read and dropped so that the client does not block.
        if let Some(open) = &mut input
            && open.write(bytes).await.is_err()
        {
            input = None;
        }
    }
}

/// Writes a piece of output, framed unless it is a terminal's.
pub(crate) async fn write_chunk(
    writer: &mut (impl AsyncWrite + Unpin),
    tty: bool,
    channel: Channel,
    mut bytes: Bytes,
) -> io::Result<()> {
    if tty {
        return writer.write_all(&bytes).await;
    }
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let head = frame::head(stream_of(channel), length);
    let mut framed = Buf::chain(&head[..], &mut bytes);
    writer.write_all_buf(&mut framed).await
}

/// The frame's stream for an output channel.
pub(crate) const fn stream_of(channel: Channel) -> Stream {
    match channel {
        Channel::Stdout => Stream::Stdout,
        Channel::Stderr => Stream::Stderr,
    }
}

#[cfg(test)]
mod tests {
    use engine::Chunk;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn output_goes_on_after_the_client_has_closed_its_side() {
        let (client, server) = tokio::io::duplex(64);
        let (sender, output) = mpsc::channel(4);
        let carried = tokio::spawn(carry(
            Attached {
                tty: false,
                output,
                input: None,
            },
            server,
        ));
        let (mut reader, mut writer) = tokio::io::split(client);
        writer.shutdown().await.unwrap();
        let bytes = Bytes::from_static(b"late");
        sender
            .send(Chunk {
                channel: Channel::Stderr,
                bytes,
            })
            .await
            .unwrap();
        drop(sender);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"\x02\0\0\0\0\0\0\x04late");
        carried.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_terminals_output_is_not_framed() {
        let (mut client, server) = tokio::io::duplex(64);
        let (sender, output) = mpsc::channel(4);
        let bytes = Bytes::from_static(b"$ ");
        sender
            .send(Chunk {
                channel: Channel::Stdout,
                bytes,
            })
            .await
            .unwrap();
        drop(sender);
        carry(
            Attached {
                tty: true,
                output,
                input: None,
            },
            server,
        )
        .await
        .unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"$ ");
    }

    #[tokio::test]
    async fn output_without_a_takeover_is_the_body_of_the_answer() {
        let response = in_body(
            content_type(ApiVersion::NEWEST, false),
            |mut carrier| async move {
                let bytes = Bytes::from_static(b"out");
                write_chunk(&mut carrier, false, Channel::Stdout, bytes).await?;
                carrier.shutdown().await
            },
        );
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, &b"\x01\0\0\0\0\0\0\x03out"[..]);
    }

    #[test]
    fn older_clients_are_told_of_one_kind_of_stream() {
        assert_eq!(
            content_type(ApiVersion::OLDEST, false),
            "application/vnd.docker.raw-stream"
        );
        assert_eq!(
            content_type(ApiVersion::NEWEST, false),
            "application/vnd.docker.multiplexed-stream"
        );
        assert_eq!(
            content_type(ApiVersion::NEWEST, true),
            "application/vnd.docker.raw-stream"
        );
    }
}
