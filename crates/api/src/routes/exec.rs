//! Further processes in a running container.

use bollard_stubs::models::{ContainerStateStatusEnum, ExecConfig, ExecInspectResponse, ExecStartConfig};
use bytes::Bytes;
use engine::{Attached, Channel, Engine, EngineError, TerminalSize};
use hyper::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{Call, size};
use crate::body::{self, Response};
use crate::error::{ApiError, Result};
use crate::hijack::{self, Takeover};

/// `POST /containers/{id}/exec`.
pub(super) async fn create(call: Call, container: &str) -> Result<Response> {
    let config: ExecConfig = body::read_json(call.request).await?;
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(ApiError::bad_request("No exec command specified"));
    }
    let id = call.engine.create_exec(container, config).await?;
    Ok(body::json(StatusCode::CREATED, &json!({ "Id": id })))
}

/// `POST /exec/{id}/start`. As in Docker, the connection is taken over before the process starts: what fails
/// after that is told on its stdout. Whether the process has a terminal was said when it was created; `Tty` says here
/// whether its output comes as it is, or in frames.
pub(super) async fn start(mut call: Call, id: &str) -> Result<Response> {
    let takeover = Takeover::from(&mut call.request);
    let config: ExecStartConfig = body::read_json(call.request).await?;
    let tty = config.tty.unwrap_or(false);
    let size = terminal_size(config.console_size.as_deref());
    let engine = call.engine;
    if config.detach.unwrap_or(false) {
        engine.start_exec(id, true, size).await?;
        return Ok(body::empty(StatusCode::OK));
    }
    let exec = can_start(&engine, id).await?;
    takeover.check(exec.open_stdin.unwrap_or(false))?;
    let id = id.to_owned();
    let answer = takeover.answer(call.version, tty, move |mut connection| async move {
        match engine.start_exec(&id, false, size).await {
            Ok(Some(attached)) => hijack::carry(Attached { tty, ..attached }, connection).await,
            Ok(None) => connection.shutdown().await,
            Err(error) => {
                let text = Bytes::from(format!("{error}\r\n"));
                hijack::write_chunk(&mut connection, tty, Channel::Stdout, text).await?;
                connection.shutdown().await
            }
        }
    });
    Ok(answer)
}

/// The errors that come before the connection is taken over.
async fn can_start(engine: &Engine, id: &str) -> Result<ExecInspectResponse> {
    let exec = engine.inspect_exec(id).await?;
    let conflict = |what: &str| {
        Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("exec command {id} {what}"),
        ))
    };
    if exec.running == Some(true) {
        return conflict("is already running");
    }
    if exec.exit_code.is_some() {
        return conflict("has already run");
    }
    let container = exec.container_id.clone().unwrap_or_default();
    let state = engine
        .inspect_container(&container)
        .await?
        .state
        .and_then(|state| state.status);
    match state {
        Some(ContainerStateStatusEnum::RUNNING) => Ok(exec),
        Some(ContainerStateStatusEnum::PAUSED) => Err(EngineError::ExecPaused(container).into()),
        _ => Err(EngineError::NotRunning(container).into()),
    }
}

/// Docker's `ConsoleSize`: rows, then columns.
fn terminal_size(size: Option<&[usize]>) -> Option<TerminalSize> {
    let &[rows, columns] = size? else { return None };
    let (rows, columns) = (u16::try_from(rows).ok()?, u16::try_from(columns).ok()?);
    (rows > 0 || columns > 0).then_some(TerminalSize { rows, columns })
}

/// `POST /exec/{id}/resize`.
pub(super) async fn resize(call: Call, id: &str) -> Result<Response> {
    let (rows, columns) = size(&call.query)?;
    call.engine.resize_exec(id, rows, columns).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `GET /exec/{id}/json`.
pub(super) async fn inspect(call: Call, id: &str) -> Result<Response> {
    let exec = told(&call.engine.inspect_exec(id).await?);
    Ok(body::json(StatusCode::OK, &exec))
}

/// Clients look for the exit code of an exec that runs, and find that there is none yet.
fn told(exec: &ExecInspectResponse) -> serde_json::Value {
    let mut exec = json!(exec);
    if let Some(members) = exec.as_object_mut() {
        members.entry("ExitCode").or_insert(serde_json::Value::Null);
    }
    exec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_that_runs_has_an_exit_code_that_is_null() {
        let mut exec = ExecInspectResponse::default();
        assert_eq!(told(&exec).get("ExitCode"), Some(&serde_json::Value::Null));
        exec.exit_code = Some(3);
        assert_eq!(told(&exec).get("ExitCode"), Some(&json!(3)));
    }

    #[test]
    fn a_console_size_is_rows_then_columns() {
        assert_eq!(
            terminal_size(Some(&[24, 80])),
            Some(TerminalSize {
                rows: 24,
                columns: 80
            })
        );
    }

    #[test]
    fn a_console_size_that_is_none_is_left_out() {
        for size in [&[][..], &[0, 0], &[24], &[1 << 20, 80]] {
            assert_eq!(terminal_size(Some(size)), None);
        }
    }
}
