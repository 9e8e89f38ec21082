//! A client of the Docker Engine API: HTTP/1.1 over the engine's socket, one connection for each request.
//!
//! A request's path is unversioned: client and engine are one program, and another engine takes it for its own
//! newest version.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use journey::Step;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::settings::Host;
use crate::{autostart, sys};

/// The longest answer that is taken whole, in bytes.
const LONGEST_ANSWER: usize = 256 << 20;
/// The longest line of a stream of JSON lines, in bytes.
const LONGEST_LINE: usize = 16 << 20;
/// How many services may die under a client's first word before it gives up.
const GREETINGS: usize = 3;

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("Error response from daemon: {message}")]
    Refused { status: StatusCode, message: String },
    #[error(
        "Cannot connect to the sampan service at {address}: {source}\n\
         Is it running? `sampan doctor` looks for what is wrong."
    )]
    Connect { address: String, source: io::Error },
    #[error(
        "the path of the service's socket, {}, is longer than this system takes: set SAMPAN_HOME to a shorter folder",
        .0.display()
    )]
    LongPath(PathBuf),
    /// The service was started and did not come up.
    #[error("The sampan service did not start: {0}")]
    Start(String),
    #[error("the connection to the sampan service broke off: {0}")]
    Broken(String),
    #[error("the sampan service's answer is not understood: {0}")]
    Answer(String),
    #[error("{0}")]
    Progress(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ClientError {
    /// The engine's own text, without the words around it.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<hyper::Error> for ClientError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

pub(crate) type Result<T, E = ClientError> = std::result::Result<T, E>;
type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// A path and its query.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    path: String,
    query: Vec<(String, String)>,
}

impl Target {
    /// `segments` become one path; what is no plain character in them is escaped, slashes of an image's name
    /// are not.
    pub(crate) fn new(segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
                    path.push(char::from(byte));
                } else {
                    path.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        Self {
            path,
            query: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn with_flag(self, name: &str, on: bool) -> Self {
        if on { self.with(name, 1) } else { self }
    }

    fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
            .finish();
        format!("{}?{query}", self.path)
    }
}

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

    /// Connects, starting this user's own service where it is not there.
    async fn connect(&self) -> Result<sys::Connection> {
        match sys::connect(&self.host.path).await {
            Ok(connection) => Ok(connection),
            Err(error) if self.host.own && sys::is_absent(&error) => {
                let starting = autostart::connect(&self.host.path);
                journey::measured(starting, |_| Step::ServiceStarted {
                    address: sys::address(&self.host.path),
                })
                .await
            }
            // What connect(2) cannot be asked at all.
            Err(error) if self.host.own && error.kind() == io::ErrorKind::InvalidInput => {
                Err(ClientError::LongPath(self.host.path.clone()))
            }
            Err(source) => Err(ClientError::Connect {
                address: sys::address(&self.host.path),
                source,
            }),
        }
    }

    /// Whether an engine is there, without starting one.
    pub(crate) async fn is_served(&self) -> bool {
        sys::connect(&self.host.path).await.is_ok()
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

    /// A connection for one request.
    ///
    /// A service that was killed a moment ago takes connections until the system has closed its socket, and answers
    /// none. So this user's own service is greeted once, and another is started where no answer comes: the request
    /// itself could not be sent a second time.
    async fn sender(&self) -> Result<SendRequest<RequestBody>> {
        let first = !self.answered.load(Ordering::Relaxed);
        let connecting = journey::begin();
        let sender = self.greeted().await;
        if first {
            connecting.ended(&sender, || Step::Connected {
                address: sys::address(&self.host.path),
            });
        }
        if sender.is_ok() {
            self.answered.store(true, Ordering::Relaxed);
        }
        sender
    }

    async fn greeted(&self) -> Result<SendRequest<RequestBody>> {
        if !self.host.own || self.answered.load(Ordering::Relaxed) {
            return self.open().await;
        }
        let mut attempt = 1;
        loop {
            let mut sender = self.open().await?;
            match greet(&mut sender).await {
                Ok(()) => return Ok(sender),
                Err(error) if attempt == GREETINGS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<RequestBody>> {
        let (sender, driver) = handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(driver.with_upgrades());
        Ok(sender)
    }

    async fn send(&self, mut request: Request<RequestBody>) -> Result<Response<Incoming>> {
        if let Some(trace) = journey::current() {
            add_headers(&mut request, &[("traceparent", trace.id().traceparent())])?;
        }
        let response = self.sender().await?.send_request(request).await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(refusal(response).await);
        }
        Ok(response)
    }

    fn request(method: Method, target: &Target, body: RequestBody) -> Result<Request<RequestBody>> {
        let request = Request::builder().method(method).uri(target.uri());
        let request = request.header(HOST, "sampan").body(body);
        request.map_err(|error| ClientError::Answer(error.to_string()))
    }

    fn json_request(method: Method, target: &Target, value: &impl Serialize) -> Result<Request<RequestBody>> {
        let bytes = serde_json::to_vec(value).map_err(|error| ClientError::Answer(error.to_string()))?;
        let mut request = Self::request(method, target, full(bytes))?;
        request.headers_mut().insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/json"),
        );
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
        use futures_util::TryStreamExt;
        let body = StreamBody::new(archive.map_ok(Frame::data)).boxed_unsync();
        let mut request = Self::request(Method::POST, target, body)?;
        request.headers_mut().insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/x-tar"),
        );
        Ok(Body(self.send(request).await?.into_body()))
    }

    /// `HEAD`; the value of a header of the answer.
    pub(crate) async fn head(&self, target: &Target, header: &str) -> Result<String> {
        let request = Self::request(Method::HEAD, target, empty())?;
        let response = self.sender().await?.send_request(request).await?;
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
        use futures_util::TryStreamExt;
        let body = StreamBody::new(archive.map_ok(Frame::data)).boxed_unsync();
        let mut request = Self::request(Method::PUT, target, body)?;
        request.headers_mut().insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("application/x-tar"),
        );
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
            .insert(CONNECTION, hyper::header::HeaderValue::from_static("Upgrade"));
        request
            .headers_mut()
            .insert(UPGRADE, hyper::header::HeaderValue::from_static("tcp"));
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
        let value = hyper::header::HeaderValue::from_str(value)
            .map_err(|error| ClientError::Answer(error.to_string()))?;
        request.headers_mut().insert(*name, value);
    }
    Ok(())
}

/// Has any answer from the engine, and leaves the connection free for a request.
async fn greet(sender: &mut SendRequest<RequestBody>) -> Result<()> {
    let ping = Client::request(Method::GET, &Target::new(&["_ping"]), empty())?;
    collect(sender.send_request(ping).await?).await?;
    Ok(sender.ready().await?)
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

/// The body of an answer as it comes.
#[derive(Debug)]
pub(crate) struct Body(Incoming);

impl Body {
    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole of it as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let mut lines = self.lines();
        let line = lines
            .next()
            .await?
            .ok_or_else(|| ClientError::Broken("it ended early".to_owned()))?;
        serde_json::from_slice(&line).map_err(|error| ClientError::Answer(error.to_string()))
    }

    /// Its lines.
    pub(crate) fn lines(self) -> Lines {
        Lines {
            body: self,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }
}

/// The lines of a body.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    searched: usize,
}

impl Lines {
    /// The next line without its end; empty lines are passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(found) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line = self
                    .buffer
                    .split_to(self.searched.saturating_add(found).saturating_add(1));
                self.searched = 0;
                line.truncate(line.trim_ascii_end().len());
                if !line.is_empty() {
                    return Ok(Some(line.freeze()));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST_LINE {
                return Err(ClientError::Answer(format!(
                    "a line is longer than {LONGEST_LINE} bytes"
                )));
            }
            match self.body.chunk().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => {
                    self.searched = 0;
                    let rest = self.buffer.split();
                    let rest = rest.trim_ascii();
                    return Ok((!rest.is_empty()).then(|| Bytes::copy_from_slice(rest)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_escapes_what_a_path_cannot_carry() {
        let target = Target::new(&["images", "my registry/a:1", "json"])
            .with("x", "a b&c")
            .with_flag("y", false);
        assert_eq!(target.uri(), "/images/my%20registry/a:1/json?x=a+b%26c");
    }

    #[test]
    fn a_target_without_parameters_has_no_question_mark() {
        assert_eq!(Target::new(&["containers", "json"]).uri(), "/containers/json");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_service_that_dies_under_the_greeting_is_followed_by_the_next() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sampan.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let service = tokio::spawn(async move {
            drop(listener.accept().await.unwrap());
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut asked = String::new();
            for body in ["OK", "[]"] {
                let mut request = [0; 1024];
                let length = connection.read(&mut request).await.unwrap();
                asked += String::from_utf8_lossy(&request[..length])
                    .lines()
                    .next()
                    .unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        let client = Client::new(Host { path, own: true });
        let answer: Vec<u8> = client.get(&Target::new(&["containers", "json"])).await.unwrap();
        assert!(answer.is_empty());
        assert_eq!(
            service.await.unwrap(),
            "GET /_ping HTTP/1.1GET /containers/json HTTP/1.1"
        );
    }
}
