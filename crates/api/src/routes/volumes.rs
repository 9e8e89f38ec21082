//! Volumes.

use hyper::StatusCode;

use super::{Call, no_content};
use crate::body::{self, Response};
use crate::error::Result;
use crate::version::ApiVersion;

/// `GET /volumes`.
pub(super) async fn list(call: Call) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.list_volumes(&call.filters()?).await?,
    ))
}

/// `POST /volumes/create`.
pub(super) async fn create(call: Call) -> Result<Response> {
    let request = body::read_json(call.request).await?;
    Ok(body::json(
        StatusCode::CREATED,
        &call.engine.create_volume(request).await?,
    ))
}

/// `GET /volumes/{name}`.
pub(super) async fn inspect(call: Call, name: &str) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.inspect_volume(name).await?,
    ))
}

/// `DELETE /volumes/{name}`.
pub(super) async fn remove(call: Call, name: &str) -> Result<Response> {
    call.engine.remove_volume(name, call.query.flag("force")).await?;
    Ok(no_content())
}

/// `POST /volumes/prune`. Before API 1.42 it took the volumes with names too.
pub(super) async fn prune(call: Call) -> Result<Response> {
    let mut filters = call.filters()?;
    if call.version < ApiVersion::new(1, 42) && !filters.has("all") {
        filters.insert("all", "true");
    }
    Ok(body::json(
        StatusCode::OK,
        &call.engine.prune_volumes(&filters).await?,
    ))
}
