//! What the engine tells of itself.

use std::io;

use bollard_stubs::models::{
    ContainerSummary, EventMessage, EventMessageTypeEnum, ImageSummary, SystemDataUsageResponse, Volume,
};
use engine::DiskUsageObjects;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::Call;
use crate::body::{self, Response};
use crate::error::{ApiError, Result};
use crate::time::nanoseconds;
use crate::version::ApiVersion;

/// `GET /_ping`: the first request of every client; its headers are the negotiation.
pub(super) fn ping(method: &Method) -> Response {
    let mut response = if method == Method::HEAD {
        body::empty(StatusCode::OK)
    } else {
        body::text("OK")
    };
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        HeaderName::from_static("builder-version"),
        HeaderValue::from_static("1"),
    );
    headers.insert(
        HeaderName::from_static("swarm"),
        HeaderValue::from_static("inactive"),
    );
    response
}

/// `GET /version`.
pub(super) async fn version(call: Call) -> Result<Response> {
    let mut version = call.engine.version().await?;
    let (newest, oldest) = (ApiVersion::NEWEST.to_string(), ApiVersion::OLDEST.to_string());
    for component in version
        .components
        .iter_mut()
        .flatten()
        .filter(|component| component.name == "Engine")
    {
        let details = component.details.get_or_insert_default();
        details.insert("ApiVersion".to_owned(), newest.clone());
        details.insert("MinAPIVersion".to_owned(), oldest.clone());
    }
    version.api_version = Some(newest);
    version.min_api_version = Some(oldest);
    Ok(body::json(StatusCode::OK, &version))
}

/// `GET /info`.
pub(super) async fn info(call: Call) -> Result<Response> {
    Ok(body::json(StatusCode::OK, &call.engine.info().await?))
}

/// `GET /plugins`: there are none.
pub(super) fn plugins() -> Response {
    body::json(StatusCode::OK, &serde_json::json!([]))
}

/// `POST /build/prune`: there is no build cache.
pub(super) fn prune_build_cache() -> Response {
    let nothing = serde_json::json!({ "CachesDeleted": null, "SpaceReclaimed": 0 });
    body::json(StatusCode::OK, &nothing)
}

/// `GET /system/df`: its members up to API 1.51, and the summaries that came after them.
pub(super) async fn disk_usage(call: Call) -> Result<Response> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Usage {
        layers_size: i64,
        images: Option<Vec<ImageSummary>>,
        containers: Option<Vec<ContainerSummary>>,
        volumes: Option<Vec<Volume>>,
        build_cache: Option<[(); 0]>,
        #[serde(flatten)]
        summaries: SystemDataUsageResponse,
    }
    let objects = disk_usage_objects(call.version, &call.query.all("type"))?;
    let usage = call.engine.disk_usage(objects).await?;
    let summaries = usage.summaries(call.query.flag("verbose"));
    let usage = Usage {
        layers_size: usage.layers,
        images: usage.images,
        containers: usage.containers,
        volumes: usage.volumes,
        build_cache: usage.build_cache.then_some([]),
        summaries,
    };
    Ok(body::json(StatusCode::OK, &usage))
}

/// What `type` asks for: everything where it is not given, and for clients of before it was there.
fn disk_usage_objects(version: ApiVersion, types: &[String]) -> Result<DiskUsageObjects> {
    if types.is_empty() || version < ApiVersion::new(1, 42) {
        return Ok(DiskUsageObjects {
            containers: true,
            images: true,
            volumes: true,
            build_cache: true,
        });
    }
    let mut objects = DiskUsageObjects::default();
    for name in types {
        let object = match name.as_str() {
            "container" => &mut objects.containers,
            "image" => &mut objects.images,
            "volume" => &mut objects.volumes,
            "build-cache" => &mut objects.build_cache,
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(ApiError::bad_request(format!("unknown object type: {other}")));
            }
        };
        *object = true;
    }
    Ok(objects)
}

/// An event with the members that container events had before API 1.22 and clients still read.
#[derive(Serialize)]
struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(flatten)]
    message: EventMessage,
}

impl From<EventMessage> for Event {
    fn from(message: EventMessage) -> Self {
        let actor = message.actor.as_ref();
        let id = actor.and_then(|actor| actor.id.clone());
        let image = actor.and_then(|actor| actor.attributes.as_ref()?.get("image").cloned());
        match message.typ {
            Some(EventMessageTypeEnum::CONTAINER) => Self {
                status: message.action.clone(),
                id,
                from: image,
                message,
            },
            Some(EventMessageTypeEnum::IMAGE) => Self {
                status: message.action.clone(),
                id,
                from: None,
                message,
            },
            _ => Self {
                status: None,
                id: None,
                from: None,
                message,
            },
        }
    }
}

/// `GET /events`.
pub(super) async fn events(call: Call) -> Result<Response> {
    let since = nanoseconds("since", call.query.text("since"))?;
    let until = nanoseconds("until", call.query.text("until"))?;
    let events = call.engine.events(since, until, &call.filters()?).await?;
    let lines = body::received(events, |event| {
        body::line(&Event::from(event)).map_err(io::Error::other)
    });
    Ok(body::stream(body::JSON, lines))
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::EventActor;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_containers_event_also_has_its_old_members() {
        let message = EventMessage {
            typ: Some(EventMessageTypeEnum::CONTAINER),
            action: Some("die".into()),
            actor: Some(EventActor {
                id: Some("abc".into()),
                attributes: Some([("image".to_owned(), "alpine".to_owned())].into()),
            }),
            time: Some(1),
            ..EventMessage::default()
        };
        let event = serde_json::to_value(Event::from(message)).unwrap();
        assert_eq!(
            event,
            json!({
                "status": "die", "id": "abc", "from": "alpine", "Type": "container", "Action": "die",
                "Actor": { "ID": "abc", "Attributes": { "image": "alpine" } }, "time": 1
            })
        );
    }

    #[test]
    fn only_the_types_that_are_named_are_looked_at() {
        let types = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let asked = disk_usage_objects(ApiVersion::NEWEST, &types(&["volume", "image"])).unwrap();
        assert!(asked.volumes && asked.images && !asked.containers && !asked.build_cache);
        let old = disk_usage_objects(ApiVersion::new(1, 41), &types(&["volume"])).unwrap();
        assert!(old.containers);
        let error = disk_usage_objects(ApiVersion::NEWEST, &types(&["nothing"])).unwrap_err();
        assert_eq!(error.message, "unknown object type: nothing");
    }

    #[test]
    fn a_ping_says_what_clients_negotiate_with() {
        let response = ping(&Method::HEAD);
        assert_eq!(response.headers()["swarm"], "inactive");
        assert_eq!(response.headers()["builder-version"], "1");
    }
}
