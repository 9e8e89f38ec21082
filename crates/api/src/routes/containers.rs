//! The life of containers.

use engine::Platform;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Call, no_content, size};
use crate::body::{self, Response};
use crate::create;
use crate::error::{ApiError, Result};

/// The parameter `platform`, such as `linux/arm64`.
pub(super) fn platform(call: &Call) -> Result<Option<Platform>> {
    call.query.text("platform").map(parsed_platform).transpose()
}

/// The parameters of this name, each a platform.
pub(super) fn platforms(call: &Call, name: &str) -> Result<Vec<Platform>> {
    let texts = call.query.all(name);
    texts
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| parsed_platform(text))
        .collect()
}

/// `linux/arm64`, or since API 1.48 the OCI platform object.
fn parsed_platform(text: &str) -> Result<Platform> {
    let bad = |error: &dyn std::fmt::Display| ApiError::bad_request(error.to_string());
    let text = if text.starts_with('{') {
        let object: Platform = serde_json::from_str(text).map_err(|error| bad(&error))?;
        object.to_string()
    } else {
        text.to_owned()
    };
    // In normal form, whichever of them it was.
    text.parse::<Platform>().map_err(|error| bad(&error))
}

/// `GET /containers/json`.
pub(super) async fn list(call: Call) -> Result<Response> {
    let limit = call.query.number("limit")?.filter(|limit| *limit > 0);
    let mut listed = call
        .engine
        .list_containers(call.query.flag("all"), limit, &call.filters()?)
        .await?;
    if call.query.flag("size") {
        call.engine.add_sizes(&mut listed).await?;
    }
    Ok(body::json(StatusCode::OK, &listed))
}

/// `POST /containers/create`.
pub(super) async fn create(call: Call) -> Result<Response> {
    let platform = platform(&call)?;
    let name = call.query.text("name").map(str::to_owned);
    let body = create::parse(&body::read_bounded(call.request).await?)?;
    let created = call
        .engine
        .create_container(name.as_deref(), platform.as_ref(), body)
        .await?;
    Ok(body::json(StatusCode::CREATED, &created))
}

/// `POST /containers/prune`.
pub(super) async fn prune(call: Call) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.prune_containers(&call.filters()?).await?,
    ))
}

/// `GET /containers/{id}/json`.
pub(super) async fn inspect(call: Call, id: &str) -> Result<Response> {
    let mut inspected = call.engine.inspect_container(id).await?;
    if call.query.flag("size") {
        let (own, whole) = call.engine.container_sizes(id).await?;
        (inspected.size_rw, inspected.size_root_fs) = (Some(own), Some(whole));
    }
    let mut value = serde_json::to_value(&inspected)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    add_old_members(&mut value);
    Ok(body::json(StatusCode::OK, &value))
}

/// Members of `NetworkSettings` that tell of the default network alone; clients read them still.
fn add_old_members(container: &mut Value) {
    let Some(Value::Object(settings)) = container.get_mut("NetworkSettings") else {
        return;
    };
    let bridge = settings
        .get("Networks")
        .and_then(|networks| networks.get("bridge"))
        .cloned();
    let member = |name: &str, none: Value| {
        bridge
            .as_ref()
            .and_then(|bridge| bridge.get(name))
            .cloned()
            .unwrap_or(none)
    };
    let old = [
        ("Bridge", json!("")),
        ("HairpinMode", json!(false)),
        ("LinkLocalIPv6Address", json!("")),
        ("LinkLocalIPv6PrefixLen", json!(0)),
        ("SecondaryIPAddresses", Value::Null),
        ("SecondaryIPv6Addresses", Value::Null),
        ("EndpointID", member("EndpointID", json!(""))),
        ("Gateway", member("Gateway", json!(""))),
        ("IPAddress", member("IPAddress", json!(""))),
        ("IPPrefixLen", member("IPPrefixLen", json!(0))),
        ("IPv6Gateway", member("IPv6Gateway", json!(""))),
        ("GlobalIPv6Address", member("GlobalIPv6Address", json!(""))),
        ("GlobalIPv6PrefixLen", member("GlobalIPv6PrefixLen", json!(0))),
        ("MacAddress", member("MacAddress", json!(""))),
    ];
    for (name, value) in old {
        settings.insert(name.to_owned(), value);
    }
}

/// `POST /containers/{id}/start`.
pub(super) async fn start(call: Call, id: &str) -> Result<Response> {
    call.engine.start_container(id).await?;
    Ok(no_content())
}

/// `POST /containers/{id}/stop`.
pub(super) async fn stop(call: Call, id: &str) -> Result<Response> {
    call.engine
        .stop_container(id, call.query.text("signal"), call.query.number("t")?)
        .await?;
    Ok(no_content())
}

/// `POST /containers/{id}/restart`.
pub(super) async fn restart(call: Call, id: &str) -> Result<Response> {
    call.engine
        .restart_container(id, call.query.text("signal"), call.query.number("t")?)
        .await?;
    Ok(no_content())
}

/// `POST /containers/{id}/kill`.
pub(super) async fn kill(call: Call, id: &str) -> Result<Response> {
    call.engine.kill_container(id, call.query.text("signal")).await?;
    Ok(no_content())
}

/// `POST /containers/{id}/rename`.
pub(super) async fn rename(call: Call, id: &str) -> Result<Response> {
    call.engine
        .rename_container(id, call.query.text("name").unwrap_or_default())
        .await?;
    Ok(no_content())
}

/// `POST /containers/{id}/pause`.
pub(super) async fn pause(call: Call, id: &str) -> Result<Response> {
    call.engine.pause_container(id).await?;
    Ok(no_content())
}

/// `POST /containers/{id}/unpause`.
pub(super) async fn unpause(call: Call, id: &str) -> Result<Response> {
    call.engine.unpause_container(id).await?;
    Ok(no_content())
}

/// `POST /containers/{id}/resize`.
pub(super) async fn resize(call: Call, id: &str) -> Result<Response> {
    let (rows, columns) = size(&call.query)?;
    call.engine.resize_container(id, rows, columns).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `DELETE /containers/{id}`.
pub(super) async fn remove(call: Call, id: &str) -> Result<Response> {
    if call.query.flag("link") {
        return Err(ApiError::bad_request(
            "sampan has no container links, so none can be removed",
        ));
    }
    call.engine
        .remove_container(id, call.query.flag("force"), call.query.flag("v"))
        .await?;
    Ok(no_content())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_networks_address_is_told_twice() {
        let mut container =
            json!({ "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "172.17.0.2" } } } });
        add_old_members(&mut container);
        assert_eq!(container["NetworkSettings"]["IPAddress"], "172.17.0.2");
        assert_eq!(container["NetworkSettings"]["Gateway"], "");
    }
}
