//! What a handler leaves unread of a request's body.
//!
//! A client may send the head of its request first and the body later (RFC 9112 section 9.3): Go's does so even for
//! the three bytes of a `docker push`. If the answer is ready before the body has come, hyper closes the connection,
//! and the client, whose write then fails, tells of a broken pipe and not of the answer. So a body that its handler
//! drops is read on for a while.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::EXPECT;
use tokio::runtime::Handle;

use crate::limits;

/// The body of a request, whose rest is read and forgotten when it is dropped.
#[derive(Debug)]
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    /// Whether the client sends it: it does not wait to be asked (RFC 9110 section 10.1.1), or has been by a read.
    coming: bool,
}

impl RequestBody {
    /// The request with its body in this care.
    pub(crate) fn of(request: Request<Incoming>) -> Request<Self> {
        let coming = !request.headers().contains_key(EXPECT);
        request.map(|incoming| Self {
            incoming: Some(incoming),
            coming,
        })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.coming = true;
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        if incoming.is_end_stream() || !self.coming {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(limits::UNREAD_TIME, forget(incoming)));
        }
    }
}

/// Reads a short rest to its end, after which the connection can serve another request. The rest of a long one is
/// not read: the connection stays open until the time is over, so that the client comes to read its answer.
async fn forget(mut incoming: Incoming) {
    let mut read = 0usize;
    while read < limits::UNREAD {
        match incoming.frame().await {
            Some(Ok(frame)) => read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) | None => return,
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use hyper::Response;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// A server that answers every request at once and reads no body.
    fn hasty_server() -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 << 10);
        let service = service_fn(|request| async move {
            drop(RequestBody::of(request));
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"no"))))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
        client
    }

    async fn read_answer(client: &mut DuplexStream) {
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\nno") {
            answer.push(char::from(client.read_u8().await.unwrap()));
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_after_its_answer_does_not_end_the_connection() {
        let mut client = hasty_server();
        for _ in 0..3 {
            client
                .write_all(b"POST /push HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
                .await
                .unwrap();
            read_answer(&mut client).await;
            client.write_all(b"{}\n").await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_to_close_takes_the_rest_of_the_body_first() {
        let mut client = hasty_server();
        client
            .write_all(b"POST /load HTTP/1.1\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf")
            .await
            .unwrap();
        read_answer(&mut client).await;
        client.write_all(b"rest").await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_ends_the_connection_after_its_answer() {
        let mut client = hasty_server();
        let head = format!(
            "POST /load HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
            limits::UNREAD * 8
        );
        client.write_all(head.as_bytes()).await.unwrap();
        read_answer(&mut client).await;
        while client.write_all(&[0; 4096]).await.is_ok() {}
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
