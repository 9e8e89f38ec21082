//! A client of the Docker Engine API: HTTP/1.1 over a connection to the engine, one for each request.
//!
//! A request's path is unversioned: client and engine are one program, and another engine takes it for its own
//! newest version.

mod body;
mod connection;
mod error;
mod target;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use body::Body;
pub(crate) use error::ClientError;
pub(crate) use target::Target;

use crate::host::Host;
use crate::transport::Transport;

/// The longest answer that is taken whole, in bytes.
const LONGEST_ANSWER: usize = 256 << 20;

pub(crate) type Result<T, E = ClientError> = std::result::Result<T, E>;
type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// Talks to one engine.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    host: Host,
    /// Whether the engine has answered anything yet.
    answered: Arc<AtomicBool>,
}

impl Client {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            answered: Arc::default(),
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// `POST` that ends the engine: done when the engine is gone, which its end of the connection tells.
    pub(crate) async fn post_until_gone(&self, target: &Target) -> Result<()> {
        let mut body = Body(
            self.send(Self::request(Method::POST, target, empty())?)
                .await?
                .into_body(),
        );
        while let Ok(Some(_)) = body.chunk().await {}
        Ok(())
    }

    async fn send(&self, mut request: Request<RequestBody>) -> Result<Response<Incoming>> {
        if let Some(trace) = journey::current() {
            add_headers(&mut request, &[("traceparent", trace.id().traceparent())])?;
        }
        let response = self.exchange(request).await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(refusal(response).await);
        }
        Ok(response)
    }

    /// Sends a request to where the engine has its paths, and has the head of the answer.
    async fn exchange(&self, mut request: Request<RequestBody>) -> Result<Response<Incoming>> {
        if let Transport::Tcp(tcp) = &self.host.transport {
            let host = HeaderValue::from_str(&tcp.authority());
            let host = host.map_err(|error| ClientError::Answer(error.to_string()))?;
            request.headers_mut().insert(HOST, host);
            if !tcp.base().is_empty() {
                let uri = format!("{}{}", tcp.base(), request.uri());
                let uri = uri.parse::<hyper::Uri>();
                *request.uri_mut() = uri.map_err(|error| ClientError::Answer(error.to_string()))?;
            }
        }
        let answer = self.sender().await?.send_request(request).await;
        answer.map_err(|error| match &self.host.transport {
            Transport::Tcp(tcp) if !tcp.has_tls() && error.is_parse() => ClientError::NotPlain(error),
            _ => error.into(),
        })
    }

    fn request(method: Method, target: &Target, body: RequestBody) -> Result<Request<RequestBody>> {
        let request = Request::builder().method(method).uri(target.uri());
        let request = request.header(HOST, "sampan").body(body);
        request.map_err(|error| ClientError::Answer(error.to_string()))
    }

    fn json_request(method: Method, target: &Target, value: &impl Serialize) -> Result<Request<RequestBody>> {
        let bytes = serde_json::to_vec(value).map_err(|error| ClientError::Answer(error.to_string()))?;
        let mut request = Self::request(method, target, full(bytes))?;
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// `GET`, answered with JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<T> {
        decode(self.send(Self::request(Method::GET, target, empty())?).await?).await
    }

    /// `GET` with headers, answered with JSON.
    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
    ) -> Result<T> {
        let mut request = Self::request(Method::GET, target, empty())?;
        add_headers(&mut request, headers)?;
        decode(self.send(request).await?).await
    }

    /// `POST` without a body, whose answer is of no interest. Says whether it changed anything.
    pub(crate) async fn post(&self, target: &Target) -> Result<bool> {
        let response = self.send(Self::request(Method::POST, target, empty())?).await?;
        Ok(response.status() != StatusCode::NOT_MODIFIED)
    }

    /// `POST` without a body, answered with JSON.
    pub(crate) async fn post_for<T: DeserializeOwned>(&self, target: &Target) -> Result<T> {
        decode(self.send(Self::request(Method::POST, target, empty())?).await?).await
    }

    /// `POST` of JSON, answered with JSON.
    pub(crate) async fn post_json<T: DeserializeOwned>(
        &self,
        target: &Target,
        body: &impl Serialize,
    ) -> Result<T> {
        decode(self.send(Self::json_request(Method::POST, target, body)?).await?).await
    }

    /// `POST` of JSON, whose answer is of no interest.
    pub(crate) async fn post_json_only(&self, target: &Target, body: &impl Serialize) -> Result<()> {
        self.send(Self::json_request(Method::POST, target, body)?)
            .await
            .map(drop)
    }

    /// `DELETE`; the answer's body, which may be empty.
    pub(crate) async fn delete(&self, target: &Target) -> Result<Bytes> {
        collect(self.send(Self::request(Method::DELETE, target, empty())?).await?).await
    }

    /// `GET`, answered with a stream of bytes.
    pub(crate) async fn get_stream(&self, target: &Target) -> Result<Body> {
        Ok(Body(
            self.send(Self::request(Method::GET, target, empty())?)
                .await?
                .into_body(),
        ))
    }

    /// `POST` with headers, answered with a stream; it is there once the answer's head has come.
    pub(crate) async fn post_stream(
        &self,
        target: &Target,
        headers: &[(&'static str, String)],
    ) -> Result<Body> {
        let mut request = Self::request(Method::POST, target, empty())?;
        add_headers(&mut request, headers)?;
        Ok(Body(self.send(request).await?.into_body()))
    }

    /// `POST` of an archive, answered with a stream.
    pub(crate) async fn post_archive(
        &self,
        target: &Target,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Body> {
        let body = StreamBody::new(archive.map_ok(Frame::data)).boxed_unsync();
        let mut request = Self::request(Method::POST, target, body)?;
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        Ok(Body(self.send(request).await?.into_body()))
    }

    /// `HEAD`; the value of a header of the answer.
    pub(crate) async fn head(&self, target: &Target, header: &str) -> Result<String> {
        let request = Self::request(Method::HEAD, target, empty())?;
        let response = self.exchange(request).await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            // An answer to HEAD has no body to say why; that to GET has.
            return match self.get_stream(target).await {
                Err(error) => Err(error),
                Ok(_) => Err(ClientError::Answer(format!("the answer {}", response.status()))),
            };
        }
        let value = response
            .headers()
            .get(header)
            .and_then(|value| value.to_str().ok());
        value
            .map(str::to_owned)
            .ok_or_else(|| ClientError::Answer(format!("the header {header} is missing")))
    }

    /// `PUT` of an archive.
    pub(crate) async fn put_archive(
        &self,
        target: &Target,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<()> {
        let body = StreamBody::new(archive.map_ok(Frame::data)).boxed_unsync();
        let mut request = Self::request(Method::PUT, target, body)?;
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        self.send(request).await.map(drop)
    }

    /// `POST` that takes the connection over.
    pub(crate) async fn hijack(&self, target: &Target, body: Option<&Value>) -> Result<TokioIo<Upgraded>> {
        let mut request = match body {
            Some(body) => Self::json_request(Method::POST, target, body)?,
            None => Self::request(Method::POST, target, empty())?,
        };
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("tcp"));
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(ClientError::Answer(format!(
                "unable to upgrade to tcp, received {}",
                status.as_u16()
            )));
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await?))
    }
}

fn add_headers(request: &mut Request<RequestBody>, headers: &[(&'static str, String)]) -> Result<()> {
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| ClientError::Answer(error.to_string()))?;
        request.headers_mut().insert(*name, value);
    }
    Ok(())
}

fn empty() -> RequestBody {
    Empty::new()
        .map_err(|never: std::convert::Infallible| match never {})
        .boxed_unsync()
}

fn full(bytes: Vec<u8>) -> RequestBody {
    Full::new(Bytes::from(bytes))
        .map_err(|never: std::convert::Infallible| match never {})
        .boxed_unsync()
}

async fn collect(response: Response<Incoming>) -> Result<Bytes> {
    let collected = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| ClientError::Broken(error.to_string()))
}

async fn decode<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T> {
    let bytes = collect(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::Answer(error.to_string()))
}

/// The error of an answer that is no success.
async fn refusal(response: Response<Incoming>) -> ClientError {
    let status = response.status();
    let bytes = match collect(response).await {
        Ok(bytes) => bytes,
        Err(error) => return error,
    };
    let message = serde_json::from_slice::<Value>(&bytes)
        .ok()
        .and_then(|body| body.get("message")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&bytes);
            let text: String = text.trim().chars().take(1024).collect();
            if text.is_empty() { status.to_string() } else { text }
        });
    ClientError::Refused { status, message }
}
