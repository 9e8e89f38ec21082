//! Networks.

use hyper::StatusCode;

use super::{Call, no_content};
use crate::body::{self, Response};
use crate::error::Result;

/// `GET /networks`.
pub(super) async fn list(call: Call) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.list_networks(&call.filters()?).await?,
    ))
}

/// `GET /networks/{id}`.
pub(super) async fn inspect(call: Call, id: &str) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.inspect_network(id).await?,
    ))
}

/// `POST /networks/create`.
pub(super) async fn create(call: Call) -> Result<Response> {
    let request = body::read_json(call.request).await?;
    Ok(body::json(
        StatusCode::CREATED,
        &call.engine.create_network(request).await?,
    ))
}

/// `POST /networks/{id}/connect`.
pub(super) async fn connect(call: Call, id: &str) -> Result<Response> {
    let request = body::read_json(call.request).await?;
    call.engine.connect_network(id, request).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `POST /networks/{id}/disconnect`.
pub(super) async fn disconnect(call: Call, id: &str) -> Result<Response> {
    let request = body::read_json(call.request).await?;
    call.engine.disconnect_network(id, request).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `DELETE /networks/{id}`.
pub(super) async fn remove(call: Call, id: &str) -> Result<Response> {
    call.engine.remove_network(id).await?;
    Ok(no_content())
}

/// `POST /networks/prune`.
pub(super) async fn prune(call: Call) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.prune_networks(&call.filters()?).await?,
    ))
}
