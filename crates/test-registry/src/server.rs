//! The server.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::content::{Blob, Image, index, sha256};
use crate::gate::{Gate, Held};
use crate::layout::Layout;
use crate::uploads::{Uploads, layers_of};

/// The token that the built-in token server gives.
const TOKEN: &str = "test-token";

/// How clients must identify themselves.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// Base64 of `name:password`.
    Basic(String),
    /// A token from the server's own `/token`; with base64 of `name:password` if the token needs one.
    Bearer(Option<String>),
    /// A challenge that leads to another token server.
    Realm(String),
}

/// What goes wrong. Counters count down with each request that they spoil.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Requests that are answered 500.
    pub errors: usize,
    /// Requests for layers are answered 500, all of them.
    pub layer_errors: bool,
    /// Layers arrive with one byte changed.
    pub alter_layers: bool,
    /// Layers end in the middle, and say so.
    pub shorten_layers: bool,
    /// Manifests that are asked for by digest are followed by a space.
    pub alter_manifests: bool,
    /// Blob answers that break off after so many bytes: (answers, bytes).
    pub cut: (usize, usize),
    /// Blob answers that stall for good after so many bytes: (answers, bytes).
    pub stall: (usize, usize),
    /// Range requests get everything.
    pub no_ranges: bool,
    /// Manifests are followed by so many spaces.
    pub manifest_padding: usize,
    /// Blobs are elsewhere: a base URL.
    pub redirect_blobs: Option<String>,
    /// Every request is answered with a redirect to itself.
    pub redirect_loop: bool,
    /// Nobody may write.
    pub refuse_uploads: bool,
    /// Blobs that are put while the connection breaks: so many are lost.
    pub cut_uploads: usize,
    /// Blobs that are put and never answered.
    pub stall_uploads: usize,
    /// Uploads that are forgotten when their blob comes.
    pub forget_uploads: usize,
    /// Manifests that are put are said to have another digest.
    pub other_digest: bool,
    /// Tags come in pages of so many; 0 is all at once.
    pub tags_page: usize,
    /// What every page of tags says comes next.
    pub tags_next: Option<String>,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    /// `repository:tag` or `repository@digest` → manifest.
    manifests: HashMap<String, Bytes>,
    blobs: HashMap<String, Blob>,
    layers: Vec<String>,
    uploads: Uploads,
    gate: Gate,
    auth: Auth,
    faults: Faults,
    requests: Vec<Request>,
    /// The answer to any search.
    found: Option<Bytes>,
}

/// A running registry. It stops when dropped.
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    /// Starts an empty registry on a free port of loopback.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| serve(Arc::clone(&state), address, request));
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Ok(Self { address, state, task })
    }

    /// `127.0.0.1:port`, the domain of a reference.
    pub fn domain(&self) -> String {
        self.address.to_string()
    }

    /// Serves images under `repository:tag`: one as a manifest, several as an index. Returns the digest.
    pub fn put(&self, repository: &str, tag: &str, images: &[Image]) -> String {
        let mut state = self.state();
        for image in images {
            state.blobs.extend(image.blobs());
            state
                .layers
                .extend(image.layers.iter().map(|layer| sha256(layer)));
            let manifest = image.manifest();
            state
                .manifests
                .insert(format!("{repository}@{}", sha256(&manifest)), manifest);
        }
        let top = match images {
            [image] => image.manifest(),
            images => index(images),
        };
        let digest = sha256(&top);
        state
            .manifests
            .insert(format!("{repository}@{digest}"), top.clone());
        state.manifests.insert(format!("{repository}:{tag}"), top);
        digest
    }

    /// Serves the OCI image layout in `folder` (image-spec, `image-layout.md`) under the tags that its index has. Blobs
    /// are read from the folder when they are asked for.
    ///
    /// # Errors
    /// When the folder cannot be read or is no layout.
    pub fn put_layout(&self, repository: &str, folder: &Path) -> io::Result<()> {
        let layout = Layout::read(folder)?;
        let mut state = self.state();
        for (digest, manifest) in &layout.manifests {
            state
                .manifests
                .insert(format!("{repository}@{digest}"), manifest.clone());
        }
        for (tag, digest) in &layout.tags {
            let manifest = layout.manifests.get(digest).cloned().unwrap_or_default();
            state.manifests.insert(format!("{repository}:{tag}"), manifest);
        }
        state.blobs.extend(layout.blobs);
        state.layers.extend(layout.layers);
        Ok(())
    }

    /// From now on the second half of each layer waits, until the result is dropped.
    pub fn hold_layers(&self) -> Held {
        self.state().gate.close()
    }

    /// Serves any bytes as a manifest.
    pub fn put_manifest(&self, repository: &str, tag: &str, bytes: impl Into<Bytes>) {
        self.state()
            .manifests
            .insert(format!("{repository}:{tag}"), bytes.into());
    }

    /// Answers every search with these bytes; before that there is no search.
    pub fn put_search(&self, answer: impl Into<Bytes>) {
        self.state().found = Some(answer.into());
    }

    /// Loses every blob.
    pub fn forget_blobs(&self) {
        self.state().blobs.clear();
    }

    /// Changes what is demanded of clients.
    pub fn set_auth(&self, auth: Auth) {
        self.state().auth = auth;
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Takes in what a request brings, then answers it. An error breaks the connection.
async fn serve(
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<Body>> {
    let (head, mut body) = request.into_parts();
    let upload = head.method == Method::PUT && head.uri.path().contains("/blobs/uploads/");
    let fault = if upload { spoils(&state) } else { None };
    match fault {
        Some(Spoiled::Cut) => {
            // Some of it arrives.
            let _ = body.frame().await;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Spoiled::Stalled) => std::future::pending().await,
        None => {}
    }
    let content = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(answer(
        &state,
        address,
        &hyper::Request::from_parts(head, content),
    ))
}

enum Spoiled {
    Cut,
    Stalled,
}

fn spoils(state: &Mutex<State>) -> Option<Spoiled> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let faults = &mut state.faults;
    if faults.cut_uploads > 0 {
        faults.cut_uploads -= 1;
        return Some(Spoiled::Cut);
    }
    if faults.stall_uploads > 0 {
        faults.stall_uploads -= 1;
        return Some(Spoiled::Stalled);
    }
    None
}

fn answer(state: &Mutex<State>, address: SocketAddr, request: &hyper::Request<Bytes>) -> Response<Body> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| Some(value.to_str().ok()?.to_owned()))
    };
    let path = request.uri().path();
    let authorization = header(AUTHORIZATION);
    let range = header(RANGE);
    let full = request
        .uri()
        .path_and_query()
        .map_or_else(|| path.to_owned(), ToString::to_string);
    state.requests.push(Request {
        method: request.method().to_string(),
        path: full,
        authorization: authorization.clone(),
        range: range.clone(),
    });
    if state.faults.redirect_loop {
        return reply(StatusCode::FOUND, &[(LOCATION.as_str(), path)], Bytes::new());
    }
    if path == "/token" {
        let allowed = match &state.auth {
            Auth::Bearer(Some(basic)) => authorization == Some(format!("Basic {basic}")),
            _ => true,
        };
        let body = format!("{{\"token\":\"{TOKEN}\"}}");
        return if allowed {
            reply(StatusCode::OK, &[], body)
        } else {
            error(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "incorrect username or password",
            )
        };
    }
    if let Some(challenge) = demand(&state.auth, address, authorization.as_deref()) {
        let mut response = error(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "authentication required",
        );
        if let Ok(challenge) = challenge.parse() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        return response;
    }
    if state.faults.errors > 0 {
        state.faults.errors -= 1;
        return error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "out of order");
    }
    if path == "/v1/search" {
        return match &state.found {
            Some(found) => reply(StatusCode::OK, &[], found.clone()),
            None => reply(StatusCode::NOT_FOUND, &[], ""),
        };
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        return reply(StatusCode::NOT_FOUND, &[], "");
    };
    let writes = !request.method().is_safe();
    if writes && state.faults.refuse_uploads {
        let message = "requested access to the resource is denied";
        return error(StatusCode::FORBIDDEN, "DENIED", message);
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        return tags(&state, repository, request.uri().query().unwrap_or_default());
    }
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        if writes {
            put_manifest(&mut state, repository, name, request)
        } else {
            manifest(&state, repository, name)
        }
    } else if let Some((repository, _)) = rest.split_once("/blobs/uploads/") {
        let State {
            uploads,
            blobs,
            faults,
            ..
        } = &mut *state;
        if request.method() == Method::POST {
            return uploads.begin(repository);
        }
        if faults.forget_uploads > 0 {
            faults.forget_uploads -= 1;
            *uploads = Uploads::default();
        }
        uploads.finish(request.uri(), request.body().clone(), blobs)
    } else if let Some((_, digest)) = rest.split_once("/blobs/") {
        blob(&mut state, path, digest, range.as_deref())
    } else {
        reply(StatusCode::OK, &[], "{}")
    }
}

/// The challenge for a client that did not identify itself.
fn demand(auth: &Auth, address: SocketAddr, given: Option<&str>) -> Option<String> {
    let bearer = Some(format!("Bearer {TOKEN}"));
    match auth {
        Auth::None => None,
        Auth::Basic(basic) => {
            (given != Some(&format!("Basic {basic}"))).then(|| "Basic realm=\"test\"".to_owned())
        }
        Auth::Bearer(_) => (given != bearer.as_deref()).then(|| {
            format!("Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"repository:x:pull\"")
        }),
        Auth::Realm(realm) => (given != bearer.as_deref()).then(|| format!("Bearer realm=\"{realm}\"")),
    }
}

fn put_manifest(
    state: &mut State,
    repository: &str,
    name: &str,
    request: &hyper::Request<Bytes>,
) -> Response<Body> {
    let bytes = request.body();
    let content_type = request.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let layers = match layers_of(bytes, content_type, &state.blobs) {
        Ok(layers) => layers,
        Err(refusal) => return *refusal,
    };
    state.layers.extend(layers);
    let mut digest = sha256(bytes);
    for key in [format!("{repository}:{name}"), format!("{repository}@{digest}")] {
        state.manifests.insert(key, bytes.clone());
    }
    if state.faults.other_digest {
        digest = sha256(b"another");
    }
    reply(StatusCode::CREATED, &[("docker-content-digest", &digest)], "")
}

/// One page of a repository's tags, in their order.
fn tags(state: &State, repository: &str, query: &str) -> Response<Body> {
    let prefix = format!("{repository}:");
    let mut tags: Vec<&str> = state
        .manifests
        .keys()
        .filter_map(|key| key.strip_prefix(&prefix))
        .filter(|tag| !tag.contains(['@', ':', '/']))
        .collect();
    if tags.is_empty() {
        let message = "repository name not known to registry";
        return error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message);
    }
    tags.sort_unstable();
    let last = query.split('&').find_map(|pair| pair.strip_prefix("last="));
    tags.retain(|tag| last.is_none_or(|last| *tag > last));
    let page = state.faults.tags_page;
    let more = page > 0 && tags.len() > page;
    if more {
        tags.truncate(page);
    }
    let next = format!(
        "/v2/{repository}/tags/list?last={}",
        tags.last().copied().unwrap_or_default()
    );
    let next = state.faults.tags_next.clone().or_else(|| more.then_some(next));
    let body = format!("{{\"name\":\"{repository}\",\"tags\":{tags:?}}}");
    match next {
        Some(next) => reply(
            StatusCode::OK,
            &[("link", &format!("<{next}>; rel=\"next\""))],
            body,
        ),
        None => reply(StatusCode::OK, &[], body),
    }
}

fn manifest(state: &State, repository: &str, name: &str) -> Response<Body> {
    let separator = if name.starts_with("sha256:") { '@' } else { ':' };
    let Some(manifest) = state.manifests.get(&format!("{repository}{separator}{name}")) else {
        let known = state
            .manifests
            .keys()
            .any(|key| key.starts_with(&format!("{repository}:")));
        return if known {
            error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown")
        } else {
            error(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                "repository name not known to registry",
            )
        };
    };
    let kind = if manifest.windows(11).any(|window| window == b"\"manifests\"") {
        "index"
    } else {
        "manifest"
    };
    let altered = state.faults.alter_manifests && separator == '@';
    let padding = state.faults.manifest_padding + usize::from(altered);
    let told = serde_json::from_slice::<serde_json::Value>(manifest);
    let told = told
        .ok()
        .and_then(|value| Some(value.get("mediaType")?.as_str()?.to_owned()));
    let kind = told.unwrap_or_else(|| format!("application/vnd.oci.image.{kind}.v1+json"));
    let body = [manifest, vec![b' '; padding].as_slice()].concat();
    reply(StatusCode::OK, &[(CONTENT_TYPE.as_str(), &kind)], body)
}

fn blob(state: &mut State, path: &str, digest: &str, range: Option<&str>) -> Response<Body> {
    let Some(mut blob) = state.blobs.get(digest).and_then(Blob::bytes) else {
        return error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    if let Some(base) = &state.faults.redirect_blobs {
        return reply(
            StatusCode::TEMPORARY_REDIRECT,
            &[(LOCATION.as_str(), &format!("{base}{path}"))],
            Bytes::new(),
        );
    }
    let is_layer = state.layers.iter().any(|layer| layer == digest);
    if state.faults.layer_errors && is_layer {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, &[], "the disk is on fire");
    }
    if state.faults.shorten_layers && is_layer {
        if range.is_some() {
            return reply(StatusCode::RANGE_NOT_SATISFIABLE, &[], "");
        }
        blob.truncate(blob.len() / 2);
    }
    if state.faults.alter_layers && is_layer {
        let mut bytes = blob.to_vec();
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        blob = bytes.into();
    }
    let start = range.and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    let start = start.filter(|start| !state.faults.no_ranges && *start < blob.len());
    let total = blob.len();
    let body = blob.slice(start.unwrap_or(0)..);
    let body = if is_layer {
        spoiled(&mut state.faults, &state.gate, body)
    } else {
        full(body)
    };
    let mut response = Response::new(body);
    let length = total - start.unwrap_or(0);
    let headers = response.headers_mut();
    headers.insert("content-length", length.into());
    if let Some(start) = start {
        if let Ok(range) = format!("bytes {start}-{}/{total}", total - 1).parse() {
            headers.insert("content-range", range);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// The body, cut short, stalled or held when that is wanted.
fn spoiled(faults: &mut Faults, gate: &Gate, body: Bytes) -> Body {
    let cut = |bytes: &Bytes, length: usize| bytes.slice(..length.min(bytes.len()));
    if faults.stall.0 > 0 {
        faults.stall.0 -= 1;
        return broken_off(cut(&body, faults.stall.1), true);
    }
    if faults.cut.0 > 0 {
        faults.cut.0 -= 1;
        return broken_off(cut(&body, faults.cut.1), false);
    }
    if gate.is_closed() {
        return held(gate.clone(), body);
    }
    full(body)
}

/// The first half, and the second one once the gate is open.
fn held(gate: Gate, mut body: Bytes) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let first = body.split_to(body.len() / 2);
        // A client that hangs up is a client that hangs up.
        let _ = sender.send(Ok(Frame::data(first))).await;
        gate.pass().await;
        let _ = sender.send(Ok(Frame::data(body))).await;
    });
    stream(receiver)
}

/// Some bytes, and then nothing for ever or a broken connection.
fn broken_off(bytes: Bytes, stall: bool) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let _ = sender.send(Ok(Frame::data(bytes))).await;
        if stall {
            sender.closed().await;
        } else {
            // The client gets what was sent before the connection breaks.
            let _ = sender.reserve().await;
            let _ = sender.send(Err(io::ErrorKind::ConnectionReset.into())).await;
        }
    });
    stream(receiver)
}

fn stream(mut receiver: tokio::sync::mpsc::Receiver<io::Result<Frame<Bytes>>>) -> Body {
    let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    StreamBody::new(stream).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(crate) fn reply(status: StatusCode, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<hyper::header::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\"}}]}}");
    reply(status, &[(CONTENT_TYPE.as_str(), "application/json")], body)
}
