//! Accepting connections and speaking HTTP/1.1 on them.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use engine::Engine;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use journey::{Recent, Step, Trace, TraceId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::body::Response;
use crate::error::ApiError;
use crate::raw::Opened;
use crate::sys::{ListenError, Listener, Stream};
use crate::unread::RequestBody;
use crate::version::{self, ApiVersion};
use crate::{limits, routes};

/// Characters of a path that are recorded.
const LONGEST_PATH: usize = 256;

/// The server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("no more clients can be accepted: {0}")]
    Accept(io::Error),
}

/// A place among the connections that may be open at once. Its end is told, so that a server that ran out of
/// file descriptors tries again.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
    ended: Arc<Notify>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

/// The API of one engine on one socket.
pub struct Server {
    engine: Engine,
    listener: Listener,
    stop: Arc<Notify>,
    traces: Arc<Recent>,
}

impl Server {
    /// Listens at `path`; the caller holds the engine, and with it the lock of the folder. Clients can connect
    /// from here on. Must be called inside a tokio runtime.
    pub fn bind(engine: Engine, path: &Path) -> Result<Self, ServeError> {
        Ok(Self {
            engine,
            listener: Listener::bind(path)?,
            stop: Arc::new(Notify::new()),
            traces: Arc::default(),
        })
    }

    /// Serves until `shutdown` is done, or a client asks for the end (`POST /sampan/service/stop`). Connections
    /// that are open then are left to the runtime.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
        let ended = Arc::new(Notify::new());
        let stop = self.stop.clone();
        let mut shutdown = std::pin::pin!(async move {
            tokio::select! {
                () = shutdown => {}
                () = stop.notified() => tracing::info!("a client asked for the end"),
            }
        });
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => return Ok(()),
                accepted = self.accept(&places, &ended) => accepted,
            };
            match accepted {
                Ok((stream, permit)) => {
                    let state = State {
                        engine: self.engine.clone(),
                        stop: self.stop.clone(),
                        traces: self.traces.clone(),
                    };
                    tokio::spawn(connection(state, stream, permit));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if places.available_permits() < limits::CONNECTIONS => {
                    tracing::warn!(%error, "a client must wait until another has left");
                    tokio::select! {
                        () = &mut shutdown => return Ok(()),
                        () = ended.notified() => {}
                    }
                }
                Err(error) => return Err(ServeError::Accept(error)),
            }
        }
    }

    async fn accept(
        &mut self,
        places: &Arc<Semaphore>,
        ended: &Arc<Notify>,
    ) -> io::Result<(Stream, Arc<Permit>)> {
        let permit = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let stream = self.listener.accept().await?;
        Ok((
            stream,
            Arc::new(Permit {
                _permit: permit,
                ended: ended.clone(),
            }),
        ))
    }
}

/// What every request can reach.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) engine: Engine,
    /// Ends the server.
    pub(crate) stop: Arc<Notify>,
    /// What clients asked to be recorded.
    pub(crate) traces: Arc<Recent>,
}

async fn connection(state: State, stream: Stream, permit: Arc<Permit>) {
    let opened = match tokio::time::timeout(limits::HEAD_TIMEOUT, Opened::read(stream)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) | Err(_) => return,
    };
    // The mark of the first request alone.
    let without_upgrade = Mutex::new(opened.without_upgrade());
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(permit.clone());
        let mark = without_upgrade.lock().map_or(None, |mut mark| mark.take());
        if let Some(mark) = mark {
            request.extensions_mut().insert(mark);
        }
        let state = state.clone();
        async move { Ok::<Response, Infallible>(answer(state, RequestBody::of(request)).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIMEOUT)
        .max_buf_size(limits::HEAD)
        .max_headers(limits::HEADERS)
        // Docker writes them so, and some clients compare them so.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(opened), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(state: State, request: Request<RequestBody>) -> Response {
    let trace = trace(&state, &request);
    journey::within(trace, traced_answer(state, request)).await
}

/// The trace that a request asks to be part of.
fn trace(state: &State, request: &Request<RequestBody>) -> Option<Trace> {
    let header = request.headers().get("traceparent")?.to_str().ok()?;
    Some(state.traces.of(TraceId::recorded(header)?))
}

async fn traced_answer(state: State, request: Request<RequestBody>) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = journey::begin();
    let answered = match version::split(&path) {
        Ok((version, path)) => routes::dispatch(state, version, path, request).await,
        Err(unsupported) => Err(unsupported.into()),
    };
    begun.done(|| Step::Request {
        method: method.to_string(),
        path: path.chars().take(LONGEST_PATH).collect(),
        status: match &answered {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.status.as_u16(),
        },
    });
    let mut response = match answered {
        Ok(response) => {
            tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
            response
        }
        Err(error) => {
            log(&error, &method, &path);
            error.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(
        SERVER,
        HeaderValue::from_static(concat!("sampan/", env!("CARGO_PKG_VERSION"), " (linux)")),
    );
    headers.insert(
        HeaderName::from_static("ostype"),
        HeaderValue::from_static("linux"),
    );
    headers.insert(
        HeaderName::from_static("docker-experimental"),
        HeaderValue::from_static("false"),
    );
    if let Ok(version) = HeaderValue::from_str(&ApiVersion::NEWEST.to_string()) {
        headers.insert(HeaderName::from_static("api-version"), version);
    }
    response
}

fn log(error: &ApiError, method: &hyper::Method, path: &str) {
    let ApiError { status, message } = error;
    if *status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%method, path, message, "failed");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), message, "refused");
    }
}
