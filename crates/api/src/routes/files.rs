//! The files of containers, and what their processes are and use.

use std::io;

use base64::Engine as _;
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use tokio_util::io::StreamReader;

use super::Call;
use crate::body::{self, Response};
use crate::error::{ApiError, Result};

const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

// Go's os.FileMode: its own bits above the permissions.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_PIPE: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_CHARACTER_DEVICE: u32 = 1 << 21;
const GO_STICKY: u32 = 1 << 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PathStat<'a> {
    name: &'a str,
    size: u64,
    mode: u32,
    mtime: String,
    link_target: &'a str,
}

fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => GO_DIRECTORY,
        0o120_000 => GO_SYMLINK,
        0o060_000 => GO_DEVICE,
        0o020_000 => GO_DEVICE | GO_CHARACTER_DEVICE,
        0o010_000 => GO_PIPE,
        0o140_000 => GO_SOCKET,
        _ => 0,
    };
    let special = [(0o4000, GO_SETUID), (0o2000, GO_SETGID), (0o1000, GO_STICKY)];
    let special = special
        .iter()
        .filter(|(bit, _)| mode & bit != 0)
        .map(|(_, go)| go);
    kind | (mode & 0o777) | special.fold(0, |bits, bit| bits | bit)
}

fn path_stat(stat: &engine::PathStat) -> Result<HeaderValue> {
    let shown = PathStat {
        name: &stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: engine::rfc3339(stat.mtime_ns),
        link_target: &stat.link_target,
    };
    let json = serde_json::to_vec(&shown).map_err(|error| internal(&error))?;
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    HeaderValue::from_str(&text).map_err(|error| internal(&error))
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn path(call: &Call) -> Result<String> {
    call.query
        .text("path")
        .map(str::to_owned)
        .ok_or_else(|| ApiError::bad_request("missing parameter in request: path"))
}

/// `HEAD /containers/{id}/archive`.
pub(super) async fn stat(call: Call, id: &str) -> Result<Response> {
    let stat = call.engine.stat_path(id, &path(&call)?).await?;
    let mut response = body::empty(StatusCode::OK);
    response.headers_mut().insert(PATH_STAT, path_stat(&stat)?);
    Ok(response)
}

/// `GET /containers/{id}/archive`.
pub(super) async fn archive(call: Call, id: &str) -> Result<Response> {
    let (stat, stream) = call.engine.archive_path(id, &path(&call)?).await?;
    let mut response = body::stream(body::TAR, body::received(stream, |chunk| chunk));
    response.headers_mut().insert(PATH_STAT, path_stat(&stat)?);
    Ok(response)
}

/// `PUT /containers/{id}/archive`.
pub(super) async fn extract(call: Call, id: &str) -> Result<Response> {
    let path = path(&call)?;
    let (keep_kinds, copy_owner) = (
        call.query.flag("noOverwriteDirNonDir"),
        call.query.flag("copyUIDGID"),
    );
    let data = call.request.into_body().into_data_stream();
    let reader = StreamReader::new(data.map_err(io::Error::other));
    call.engine
        .extract_archive(id, &path, keep_kinds, copy_owner, Box::pin(reader))
        .await?;
    Ok(body::empty(StatusCode::OK))
}

/// `GET /containers/{id}/export`.
pub(super) async fn export(call: Call, id: &str) -> Result<Response> {
    let stream = call.engine.export_container(id).await?;
    Ok(body::stream(
        HeaderValue::from_static("application/octet-stream"),
        body::received(stream, |chunk| chunk),
    ))
}

/// `GET /containers/{id}/changes`.
pub(super) async fn changes(call: Call, id: &str) -> Result<Response> {
    let changes = call.engine.container_changes(id).await?;
    if changes.is_empty() {
        return Ok(body::json(StatusCode::OK, &serde_json::Value::Null));
    }
    Ok(body::json(StatusCode::OK, &changes))
}

/// `GET /containers/{id}/top`.
pub(super) async fn top(call: Call, id: &str) -> Result<Response> {
    let arguments = call.query.text("ps_args").unwrap_or("-ef");
    Ok(body::json(
        StatusCode::OK,
        &call.engine.container_top(id, arguments).await?,
    ))
}

/// `GET /containers/{id}/stats`.
pub(super) async fn stats(call: Call, id: &str) -> Result<Response> {
    let (stream, one_shot) = (call.query.flag_or("stream", true), call.query.flag("one-shot"));
    if stream && one_shot {
        return Err(ApiError::bad_request("cannot have stream=true and one-shot=true"));
    }
    let answers = call.engine.container_stats(id, stream, one_shot).await?;
    let lines = body::received(answers, |answer| body::line(&answer).map_err(io::Error::other));
    Ok(body::stream(body::JSON, lines))
}

/// `POST /containers/{id}/update`.
pub(super) async fn update(call: Call, id: &str) -> Result<Response> {
    let asked = body::read_json(call.request).await?;
    Ok(body::json(
        StatusCode::OK,
        &call.engine.update_container(id, asked).await?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_in_gos_bits() {
        assert_eq!(go_mode(0o040_755), GO_DIRECTORY | 0o755);
        assert_eq!(go_mode(0o120_777), GO_SYMLINK | 0o777);
        assert_eq!(go_mode(0o104_755), GO_SETUID | 0o755);
        assert_eq!(go_mode(0o020_666), GO_DEVICE | GO_CHARACTER_DEVICE | 0o666);
    }
}
