//! Output of containers, and waiting for their end.

use std::io;

use bollard_stubs::models::{ContainerWaitExitError, ContainerWaitResponse};
use engine::{AttachOptions, LogsOptions, WaitCondition};

use super::Call;
use crate::body::{self, Response};
use crate::error::{ApiError, Result};
use crate::frame;
use crate::hijack::{self, Takeover, content_type, stream_of};
use crate::time::nanoseconds;
use crate::version::ApiVersion;
use crate::websocket::{self, Handshake};

/// `GET /containers/{id}/logs`.
pub(super) async fn logs(call: Call, id: &str) -> Result<Response> {
    let query = &call.query;
    let options = LogsOptions {
        follow: query.flag("follow"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: nanoseconds("since", query.text("since"))?,
        until: nanoseconds("until", query.text("until"))?,
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        // As in Docker, what is no number of lines means all of them.
        tail: query.text("tail").and_then(|tail| tail.parse().ok()),
    };
    if !(options.stdout || options.stderr) {
        return Err(ApiError::bad_request(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    let logs = call.engine.container_logs(id, options).await?;
    let tty = logs.tty;
    let chunks = body::received(logs.output, move |chunk| {
        Ok(if tty {
            chunk.bytes
        } else {
            frame::encode(stream_of(chunk.channel), &chunk.bytes)
        })
    });
    Ok(body::stream(content_type(call.version, tty), chunks))
}

/// `POST /containers/{id}/attach`.
pub(super) async fn attach(mut call: Call, id: &str) -> Result<Response> {
    let query = &call.query;
    let options = AttachOptions {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        stream: query.flag("stream"),
        logs: query.flag("logs"),
        detach_keys: query.text("detachKeys").map(str::to_owned),
    };
    let takeover = Takeover::from(&mut call.request);
    takeover.check(options.stdin)?;
    let attached = call.engine.attach_container(id, options).await?;
    let tty = attached.tty;
    Ok(takeover.answer(call.version, tty, move |connection| {
        hijack::carry(attached, connection)
    }))
}

/// `GET /containers/{id}/attach/ws`. Before API 1.42 it attached to every stream.
pub(super) async fn attach_websocket(mut call: Call, id: &str) -> Result<Response> {
    let handshake = match Handshake::read(call.request.headers()) {
        Ok(handshake) => handshake,
        Err(refused) => return Ok(refused.into_response()),
    };
    let (query, version) = (&call.query, call.version);
    let wanted = |stream| version < ApiVersion::STREAM_TYPES || query.flag(stream);
    let options = AttachOptions {
        stdin: wanted("stdin"),
        stdout: wanted("stdout"),
        stderr: wanted("stderr"),
        stream: query.flag("stream"),
        logs: query.flag("logs"),
        detach_keys: query.text("detachKeys").map(str::to_owned),
    };
    let attached = call.engine.attach_container(id, options).await?;
    let kind = websocket::Kind::of(version);
    Takeover::from(&mut call.request)
        .begin(move |connection| websocket::carry(attached, kind, connection))?;
    Ok(handshake.into_response())
}

/// `POST /containers/{id}/wait`. The head of the answer is sent once the waiter is in place, which is what
/// `docker run` waits for before it starts the container.
pub(super) async fn wait(call: Call, id: &str) -> Result<Response> {
    let condition = match call.query.text("condition") {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            return Err(ApiError::bad_request(format!("invalid condition: {other:?}")));
        }
    };
    let exit = call.engine.wait_container(id, condition).await?;
    let answer = async move {
        let exit = exit.await.unwrap_or_else(|error| ContainerWaitResponse {
            status_code: -1,
            error: Some(ContainerWaitExitError {
                message: Some(error.to_string()),
            }),
        });
        body::line(&exit).map_err(io::Error::other)
    };
    Ok(body::stream(body::JSON, futures_util::stream::once(answer)))
}
