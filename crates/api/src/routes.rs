//! The table of endpoints (Docker Engine API, one line each), and sampan's own under `/sampan`.

mod absent;
mod containers;
mod exec;
mod files;
mod images;
mod machines;
mod networks;
mod registries;
mod streams;
mod system;
mod traces;
mod volumes;

use std::sync::Arc;

use engine::{Engine, Filters};
use hyper::{Method, Request};
use journey::Recent;
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use crate::body::Response;
use crate::error::{ApiError, Result};
use crate::query::Query;
use crate::server::State;
use crate::unread::RequestBody;
use crate::version::ApiVersion;

/// A request on its way to its handler.
pub(crate) struct Call {
    engine: Engine,
    stop: Arc<Notify>,
    traces: Arc<Recent>,
    version: ApiVersion,
    query: Query,
    request: Request<RequestBody>,
}

impl Call {
    fn filters(&self) -> Result<Filters> {
        Ok(Filters::parse(self.query.text("filters").unwrap_or_default())?)
    }
}

/// Finds the handler of a path, which is without its version here.
pub(crate) async fn dispatch(
    state: State,
    version: ApiVersion,
    path: &str,
    request: Request<RequestBody>,
) -> Result<Response> {
    let segments = path
        .trim_matches('/')
        .split('/')
        .map(|segment| {
            percent_decode_str(segment)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
        })
        .collect::<Result<Vec<String>, _>>()
        .map_err(|_| ApiError::page_not_found())?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method().clone();
    let State { engine, stop, traces } = state;
    let call = Call {
        engine,
        stop,
        traces,
        version,
        query: Query::parse(request.uri().query()),
        request,
    };
    match (method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => Ok(system::ping(&method)),
        ("GET", ["version"]) => system::version(call).await,
        ("GET", ["info"]) => system::info(call).await,
        ("GET", ["events"]) => system::events(call).await,
        ("GET", ["system", "df"]) => system::disk_usage(call).await,
        ("GET", ["plugins"]) => Ok(system::plugins()),
        ("POST", ["auth"]) => registries::log_in(call).await,
        ("POST", ["build", "prune"]) => Ok(system::prune_build_cache()),

        ("GET", ["containers", "json"]) => containers::list(call).await,
        ("POST", ["containers", "create"]) => containers::create(call).await,
        ("POST", ["containers", "prune"]) => containers::prune(call).await,
        ("GET", ["containers", id, "json"]) => containers::inspect(call, id).await,
        ("GET", ["containers", id, "logs"]) => streams::logs(call, id).await,
        ("POST", ["containers", id, "start"]) => containers::start(call, id).await,
        ("POST", ["containers", id, "stop"]) => containers::stop(call, id).await,
        ("POST", ["containers", id, "restart"]) => containers::restart(call, id).await,
        ("POST", ["containers", id, "kill"]) => containers::kill(call, id).await,
        ("POST", ["containers", id, "rename"]) => containers::rename(call, id).await,
        ("POST", ["containers", id, "pause"]) => containers::pause(call, id).await,
        ("POST", ["containers", id, "unpause"]) => containers::unpause(call, id).await,
        ("POST", ["containers", id, "resize"]) => containers::resize(call, id).await,
        ("POST", ["containers", id, "wait"]) => streams::wait(call, id).await,
        ("POST", ["containers", id, "attach"]) => streams::attach(call, id).await,
        ("GET", ["containers", id, "attach", "ws"]) => streams::attach_websocket(call, id).await,
        ("POST", ["containers", id, "exec"]) => exec::create(call, id).await,
        ("HEAD", ["containers", id, "archive"]) => files::stat(call, id).await,
        ("GET", ["containers", id, "archive"]) => files::archive(call, id).await,
        ("PUT", ["containers", id, "archive"]) => files::extract(call, id).await,
        ("GET", ["containers", id, "export"]) => files::export(call, id).await,
        ("GET", ["containers", id, "changes"]) => files::changes(call, id).await,
        ("GET", ["containers", id, "top"]) => files::top(call, id).await,
        ("GET", ["containers", id, "stats"]) => files::stats(call, id).await,
        ("POST", ["containers", id, "update"]) => files::update(call, id).await,
        ("DELETE", ["containers", id]) => containers::remove(call, id).await,

        ("POST", ["exec", id, "start"]) => exec::start(call, id).await,
        ("POST", ["exec", id, "resize"]) => exec::resize(call, id).await,
        ("GET", ["exec", id, "json"]) => exec::inspect(call, id).await,

        ("POST", ["commit"]) => images::commit(call).await,
        ("GET", ["images", "json"]) => images::list(call).await,
        ("POST", ["images", "create"]) => images::pull(call).await,
        ("POST", ["images", "load"]) => images::load(call).await,
        ("POST", ["images", "prune"]) => images::prune(call).await,
        ("GET", ["images", "search"]) => registries::search(call).await,
        ("GET", ["distribution", name @ .., "json"]) if !name.is_empty() => {
            registries::distribution(call, &name.join("/")).await
        }
        ("GET", ["images", "get"]) => {
            let names = call.query.all("names");
            images::save(call, names).await
        }
        ("GET", ["images", name @ .., "get"]) if !name.is_empty() => {
            images::save(call, vec![name.join("/")]).await
        }
        ("GET", ["images", name @ .., "json"]) if !name.is_empty() => {
            images::inspect(call, &name.join("/")).await
        }
        ("GET", ["images", name @ .., "history"]) if !name.is_empty() => {
            images::history(call, &name.join("/")).await
        }
        ("POST", ["images", name @ .., "tag"]) if !name.is_empty() => {
            images::tag(call, &name.join("/")).await
        }
        ("POST", ["images", name @ .., "push"]) if !name.is_empty() => {
            images::push(call, &name.join("/")).await
        }
        ("DELETE", ["images", name @ ..]) if !name.is_empty() => images::remove(call, &name.join("/")).await,

        ("GET", ["networks"]) => networks::list(call).await,
        ("POST", ["networks", "create"]) => networks::create(call).await,
        ("POST", ["networks", "prune"]) => networks::prune(call).await,
        ("GET", ["networks", id]) => networks::inspect(call, id).await,
        ("POST", ["networks", id, "connect"]) => networks::connect(call, id).await,
        ("POST", ["networks", id, "disconnect"]) => networks::disconnect(call, id).await,
        ("DELETE", ["networks", id]) => networks::remove(call, id).await,

        ("GET", ["volumes"]) => volumes::list(call).await,
        ("POST", ["volumes", "create"]) => volumes::create(call).await,
        ("POST", ["volumes", "prune"]) => volumes::prune(call).await,
        ("GET", ["volumes", name]) => volumes::inspect(call, name).await,
        ("DELETE", ["volumes", name]) => volumes::remove(call, name).await,

        ("POST", ["sampan", "service", "stop"]) => Ok(machines::stop_service(&call)),
        ("GET", ["sampan", "machines", machine, "diagnosis"]) => machines::diagnose(call, machine).await,
        ("GET", ["sampan", "doctor"]) => machines::doctor(call).await,
        ("GET", ["sampan", "traces", id]) => traces::find(&call, id),
        ("GET", ["sampan", "machines", machine, "json"]) => machines::inspect(call, machine).await,
        ("POST", ["sampan", "machines", machine, "start"]) => machines::start(call, machine).await,
        ("POST", ["sampan", "machines", machine, "stop"]) => machines::stop(call, machine).await,

        _ => Err(absent::answer(&method, &segments)),
    }
}

/// What a handler that answers nothing returns.
fn no_content() -> Response {
    crate::body::empty(hyper::StatusCode::NO_CONTENT)
}

/// Rows and columns of a terminal: parameters `h` and `w`.
fn size(query: &Query) -> Result<(u16, u16)> {
    let rows = query.number("h")?.unwrap_or(0);
    let columns = query.number("w")?.unwrap_or(0);
    Ok((rows, columns))
}

/// The method as a word of an error.
fn endpoint(method: &Method, segments: &[&str]) -> String {
    format!("{method} /{}", segments.join("/"))
}
