//! What the engine tells of itself.

use std::io;

use bollard_stubs::models::{
    ContainerSummary, EventMessage, EventMessageTypeEnum, SystemDataUsageResponse, Volume, VolumeUsageData,
};
use engine::Filters;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::Call;
use crate::body::{self, Response};
use crate::error::Result;
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
    struct Usage<I> {
        layers_size: i64,
        images: I,
        containers: Vec<ContainerSummary>,
        volumes: Vec<Volume>,
        build_cache: [(); 0],
        #[serde(flatten)]
        summaries: SystemDataUsageResponse,
    }
    let summaries = call.engine.disk_usage().await?;
    let images = call.engine.list_images(true, &Filters::default()).await?;
    let containers = call
        .engine
        .list_containers(true, None, &Filters::default())
        .await?;
    let mut volumes = call
        .engine
        .list_volumes(&Filters::default())
        .await?
        .volumes
        .unwrap_or_default();
    for volume in &mut volumes {
        let mounts = containers
            .iter()
            .flat_map(|container| container.mounts.iter().flatten());
        let users = mounts
            .filter(|mount| mount.name.as_deref() == Some(&volume.name))
            .count();
        volume.usage_data = Some(VolumeUsageData {
            // What a volume holds is the guest's to know; -1 is Docker's "not looked at".
            size: -1,
            ref_count: i64::try_from(users).unwrap_or(i64::MAX),
        });
    }
    let layers_size = summaries
        .image_usage
        .as_ref()
        .and_then(|images| images.total_size)
        .unwrap_or(0);
    let usage = Usage {
        layers_size,
        images,
        containers,
        volumes,
        build_cache: [],
        summaries,
    };
    Ok(body::json(StatusCode::OK, &usage))
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
    fn a_ping_says_what_clients_negotiate_with() {
        let response = ping(&Method::HEAD);
        assert_eq!(response.headers()["swarm"], "inactive");
        assert_eq!(response.headers()["builder-version"], "1");
    }
}
