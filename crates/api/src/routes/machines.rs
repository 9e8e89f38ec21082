//! What only sampan has: its machines and its check of the host. The machine is `default`, `amd64` or `arm64`.

use engine::{Architecture, MachineReport};
use hyper::StatusCode;
use serde_json::Value;

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
    let report = call.engine.machine_inspect(architecture(machine)?).await?;
    Ok(body::json(StatusCode::OK, &told(&report)?))
}

/// `GET /sampan/machines/{machine}/diagnosis`: of a machine that runs.
pub(super) async fn diagnose(call: Call, machine: &str) -> Result<Response> {
    let diagnosis = call.engine.machine_diagnosis(architecture(machine)?).await?;
    let diagnosis = serde_json::to_value(diagnosis)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(body::json(StatusCode::OK, &docker_names(diagnosis)))
}

/// `POST /sampan/machines/{machine}/start`.
pub(super) async fn start(call: Call, machine: &str) -> Result<Response> {
    let report = call.engine.machine_start(architecture(machine)?).await?;
    Ok(body::json(StatusCode::OK, &told(&report)?))
}

/// A report under names as Docker's API writes them, and this process's own ID.
fn told(report: &MachineReport) -> Result<Value> {
    let report = serde_json::to_value(report)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut report = docker_names(report);
    if let Value::Object(members) = &mut report {
        members.insert("ServicePid".to_owned(), std::process::id().into());
    }
    Ok(report)
}

/// `kernel_release` becomes `KernelRelease`.
fn docker_names(value: Value) -> Value {
    let name = |name: String| {
        let words = name.split('_').map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        });
        words.collect::<String>()
    };
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(member, value)| (name(member), docker_names(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(docker_names).collect(),
        other => other,
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_have_dockers_kind_of_names_at_every_depth() {
        let told = docker_names(json!({ "kernel_release": "6", "inspection": { "console_tail": ["a_b"] } }));
        assert_eq!(
            told,
            json!({ "KernelRelease": "6", "Inspection": { "ConsoleTail": ["a_b"] } })
        );
    }
}
