//! What only sampan has: its machines and its check of the host. The machine is `default`, `amd64` or `arm64`.

use engine::Architecture;
use hyper::StatusCode;

use super::{Call, no_content};
use crate::body::{self, Response};
use crate::error::{ApiError, Result};

fn architecture(machine: &str) -> Result<Option<Architecture>> {
    if machine == "default" {
        return Ok(None);
    }
    machine
        .parse()
        .map(Some)
        .map_err(|error: protocol::UnknownArchitecture| ApiError::bad_request(error.to_string()))
}

/// `GET /sampan/machines/{machine}/json`.
pub(super) async fn inspect(call: Call, machine: &str) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.machine_inspect(architecture(machine)?).await?,
    ))
}

/// `POST /sampan/machines/{machine}/start`.
pub(super) async fn start(call: Call, machine: &str) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.machine_start(architecture(machine)?).await?,
    ))
}

/// `POST /sampan/machines/{machine}/stop`.
pub(super) async fn stop(call: Call, machine: &str) -> Result<Response> {
    call.engine.machine_stop(architecture(machine)?).await?;
    Ok(no_content())
}

/// `GET /sampan/doctor`.
pub(super) async fn doctor(call: Call) -> Result<Response> {
    Ok(body::json(StatusCode::OK, &call.engine.doctor().await))
}

/// `POST /sampan/service/stop`: ends the service in an orderly way, machines and all. The answer ends with it,
/// so that a client knows when another can be started.
pub(super) fn stop_service(call: &Call) -> Response {
    call.stop.notify_one();
    body::stream(body::JSON, futures_util::stream::pending())
}
