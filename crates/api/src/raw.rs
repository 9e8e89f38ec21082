//! Clients that take a connection over without asking for an upgrade: they POST to attach or exec start and go
//! on to read and write raw bytes after a `200` (Docker Engine API before 1.20, and some clients to this day).
//!
//! hyper hands a connection over only after an upgrade, so this is settled below it: the head of a connection's
//! first request is read here; where it is such a request, it gets the `Upgrade` that it lacks, and the status
//! line of the answer, `101`, goes out as `200 OK`. A later request of a connection that is kept open gets its output as
//! an ordinary body instead (`hijack`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::limits;

/// Marks a request that lacked its `Upgrade`.
#[derive(Clone, Debug, Default)]
pub(crate) struct WithoutUpgrade(Arc<AtomicBool>);

impl WithoutUpgrade {
    /// The next answer takes the connection over, and is to be rewritten. Without this call the request is answered as
    /// any other is, and the connection goes on.
    pub(crate) fn take_over(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A connection whose first request's head has been read.
#[derive(Debug)]
pub(crate) struct Opened<S> {
    stream: S,
    /// Read already, to be read again.
    head: Bytes,
    /// Rewritten bytes that are still to be written.
    pending: Bytes,
    /// Whether the status line of a takeover is still to be rewritten; of a first request without `Upgrade` alone.
    plain: Option<WithoutUpgrade>,
}

impl<S> Opened<S> {
    /// Marks the first request, where it lacked its `Upgrade`.
    pub(crate) fn without_upgrade(&self) -> Option<WithoutUpgrade> {
        self.plain.clone()
    }

    fn is_rewriting(&self) -> bool {
        self.plain
            .as_ref()
            .is_some_and(|plain| plain.0.load(Ordering::Acquire))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opened<S> {
    /// Reads the head of the first request. A head that is too long or broken off is left to the HTTP parser.
    pub(crate) async fn read(mut stream: S) -> io::Result<Self> {
        let mut head = BytesMut::with_capacity(2048);
        let mut searched = 0usize;
        let end = loop {
            if let Some(found) = head
                .get(searched..)
                .and_then(|fresh| fresh.windows(4).position(|window| window == b"\r\n\r\n"))
            {
                break Some(searched.saturating_add(found));
            }
            searched = head.len().saturating_sub(3);
            if head.len() >= limits::HEAD || stream.read_buf(&mut head).await? == 0 {
                break None;
            }
        };
        let upgraded = end
            .and_then(|end| head.get(..end))
            .and_then(|text| with_upgrade(text, &head));
        let plain = upgraded.is_some().then(WithoutUpgrade::default);
        let head = upgraded.unwrap_or_else(|| head.freeze());
        Ok(Self {
            stream,
            head,
            pending: Bytes::new(),
            plain,
        })
    }
}

/// The bytes read so far with an `Upgrade` header, if their head is a takeover without one.
fn with_upgrade(head: &[u8], all: &[u8]) -> Option<Bytes> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let request = lines.next()?;
    let mut words = request.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let path = target.split(|byte| *byte == b'?').next()?;
    let exec = path.ends_with(b"/start") && path.windows(6).any(|part| part == b"/exec/");
    if method != b"POST" || version != b"HTTP/1.1" || !(exec || path.ends_with(b"/attach")) {
        return None;
    }
    if lines.any(|line| {
        line.get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"upgrade:"))
    }) {
        return None;
    }
    let rest = all.get(request.len()..)?;
    let upgraded = [request, b"\r\nConnection: Upgrade\r\nUpgrade: tcp", rest].concat();
    Some(Bytes::from(upgraded))
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.head.len().min(buffer.remaining());
        buffer.put_slice(&self.head.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Opened<S> {
    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written.min(self.pending.len()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(context))?;
        if self.is_rewriting()
            && bytes.starts_with(b"HTTP/1.1 101 ")
            && let Some(line) = bytes.windows(2).position(|window| window == b"\r\n")
        {
            self.plain = None;
            let rest = bytes.get(line..).unwrap_or_default();
            self.pending = Bytes::from([b"HTTP/1.1 200 OK", rest].concat());
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_rewriting() {
            let first = slices
                .iter()
                .find(|slice| !slice.is_empty())
                .map_or(&[][..], |slice| &**slice);
            return self.poll_write(context, first);
        }
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.plain.is_none() && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn opened(sent: &[u8]) -> (Opened<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (mut client, server) = tokio::io::duplex(4096);
        client.write_all(sent).await.unwrap();
        (Opened::read(server).await.unwrap(), client)
    }

    async fn seen(mut opened: Opened<tokio::io::DuplexStream>, length: usize) -> String {
        let mut bytes = vec![0; length];
        opened.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn an_attach_without_upgrade_gets_one_and_keeps_its_early_input() {
        let (opened, _client) =
            opened(b"POST /v1.30/containers/a/attach?stdin=1 HTTP/1.1\r\nHost: x\r\n\r\nls").await;
        assert!(opened.without_upgrade().is_some());
        let expected = "POST /v1.30/containers/a/attach?stdin=1 HTTP/1.1\r\nConnection: Upgrade\r\n\
                        Upgrade: tcp\r\nHost: x\r\n\r\nls";
        assert_eq!(seen(opened, expected.len()).await, expected);
    }

    #[tokio::test]
    async fn other_requests_are_left_as_they_are() {
        for sent in [
            "GET /containers/json HTTP/1.1\r\n\r\n",
            "POST /containers/a/start HTTP/1.1\r\n\r\n",
            "POST /exec/a/start HTTP/1.1\r\nConnection: Upgrade\r\nupgrade: tcp\r\n\r\n",
            "POST /containers/a/attach HTTP/1.0\r\n\r\n",
        ] {
            let (opened, _client) = opened(sent.as_bytes()).await;
            assert!(opened.without_upgrade().is_none(), "{sent}");
            assert_eq!(seen(opened, sent.len()).await, sent);
        }
    }

    #[tokio::test]
    async fn the_takeover_is_answered_200_and_later_bytes_are_not_touched() {
        let (mut opened, mut client) = opened(b"POST /exec/a/start HTTP/1.1\r\n\r\n").await;
        opened.without_upgrade().unwrap().take_over();
        opened
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\ncontent-type: x\r\n\r\n")
            .await
            .unwrap();
        opened.write_all(b"HTTP/1.1 101 ").await.unwrap();
        opened.shutdown().await.unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert_eq!(
            received,
            "HTTP/1.1 200 OK\r\ncontent-type: x\r\n\r\nHTTP/1.1 101 "
        );
    }

    #[tokio::test]
    async fn a_later_takeover_with_an_upgrade_is_answered_101_where_the_first_request_took_nothing_over() {
        let (mut opened, mut client) = opened(b"POST /exec/a/start HTTP/1.1\r\n\r\n").await;
        let answers = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 UPGRADED\r\n\r\n";
        for answer in answers.split_inclusive("\r\n\r\n") {
            opened.write_all(answer.as_bytes()).await.unwrap();
        }
        opened.shutdown().await.unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, answers);
    }
}
