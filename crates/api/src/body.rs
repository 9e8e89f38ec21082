//! Bodies of answers and requests.

use std::convert::Infallible;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Body as _, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::error::{ApiError, Result};
use crate::limits;
use crate::strict::Strict;
use crate::unread::RequestBody;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Response = hyper::Response<Body>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn respond(status: StatusCode, content_type: Option<HeaderValue>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    respond(status, None, full(Bytes::new()))
}

/// Plain text.
pub(crate) fn text(text: &'static str) -> Response {
    respond(
        StatusCode::OK,
        Some(HeaderValue::from_static("text/plain; charset=utf-8")),
        full(text),
    )
}

/// A JSON document and a newline, as Docker ends it.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match line(value) {
        Ok(line) => respond(status, Some(JSON), full(line)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// A value as one line of JSON.
pub(crate) fn line(value: &impl Serialize) -> serde_json::Result<Bytes> {
    let mut buffer = BytesMut::with_capacity(512).writer();
    serde_json::to_writer(&mut buffer, value)?;
    let mut line = buffer.into_inner();
    line.put_u8(b'\n');
    Ok(line.freeze())
}

/// An answer whose body comes as it is made. Its head is sent at once.
pub(crate) fn stream<S>(content_type: HeaderValue, chunks: S) -> Response
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    use futures_util::TryStreamExt;
    let body = StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync();
    respond(StatusCode::OK, Some(content_type), body)
}

/// A stream of what a channel delivers.
pub(crate) fn received<T, F>(
    receiver: mpsc::Receiver<T>,
    mut encode: F,
) -> impl Stream<Item = io::Result<Bytes>>
where
    T: Send + 'static,
    F: FnMut(T) -> io::Result<Bytes> + Send + 'static,
{
    let mut receiver = receiver;
    futures_util::stream::poll_fn(move |context| {
        receiver
            .poll_recv(context)
            .map(|received| received.map(&mut encode))
    })
}

/// Reads a JSON body of bounded length. Docker's own texts for what is wrong with it.
pub(crate) async fn read_json<T: DeserializeOwned>(request: Request<RequestBody>) -> Result<T> {
    let bytes = read_bounded(request).await?;
    serde_json::from_slice(&bytes)
        .and_then(|value| T::deserialize(Strict(value)))
        .map_err(|error| ApiError::bad_request(format!("invalid JSON: {error}")))
}

/// The bytes of a JSON body; an empty body is refused.
pub(crate) async fn read_bounded(request: Request<RequestBody>) -> Result<Bytes> {
    let declared = request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let media_type = declared.map(|value| value.split(';').next().unwrap_or_default().trim());
    if let Some(other) = media_type
        && !other.is_empty()
        && !other.eq_ignore_ascii_case("application/json")
    {
        let other: String = other.chars().take(64).collect();
        return Err(ApiError::bad_request(format!(
            "unsupported Content-Type header ({other}): must be 'application/json'"
        )));
    }
    let too_large = || {
        let limit = limits::JSON_BODY >> 20;
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body is larger than {limit} MiB"),
        )
    };
    if request.body().size_hint().lower() > limits::JSON_BODY as u64 {
        return Err(too_large());
    }
    let collected = Limited::new(request.into_body(), limits::JSON_BODY)
        .collect()
        .await;
    let bytes = match collected {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
        Err(error) => {
            return Err(ApiError::bad_request(format!(
                "the request body broke off: {error}"
            )));
        }
    };
    if bytes.is_empty() {
        return Err(ApiError::bad_request(
            "invalid JSON: got EOF while reading request body",
        ));
    }
    Ok(bytes)
}
