//! Images: pulled, pushed, loaded, saved, listed, named and removed.

use std::io;

use bytes::Bytes;
use engine::CommitOptions;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyDataStream;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::io::{ReaderStream, StreamReader};

use super::containers::{platform, platforms};
use super::{Call, registries};
use crate::body::{self, Response};
use crate::error::{ApiError, Result};
use crate::{limits, progress};

/// `GET /images/json`.
pub(super) async fn list(call: Call) -> Result<Response> {
    let listed = call
        .engine
        .list_images(call.query.flag("all"), &call.filters()?)
        .await?;
    Ok(body::json(StatusCode::OK, &listed))
}

/// `GET /images/{name}/json`.
pub(super) async fn inspect(call: Call, name: &str) -> Result<Response> {
    let platform = platform(&call)?;
    Ok(body::json(
        StatusCode::OK,
        &call.engine.inspect_image(name, platform.as_ref()).await?,
    ))
}

/// `GET /images/{name}/history`.
pub(super) async fn history(call: Call, name: &str) -> Result<Response> {
    let platform = platform(&call)?;
    Ok(body::json(
        StatusCode::OK,
        &call.engine.image_history(name, platform.as_ref()).await?,
    ))
}

/// `POST /images/{name}/tag`.
pub(super) async fn tag(call: Call, name: &str) -> Result<Response> {
    let repository = call.query.text("repo").unwrap_or_default();
    call.engine
        .tag_image(name, repository, call.query.text("tag"))
        .await?;
    Ok(body::empty(StatusCode::CREATED))
}

/// `DELETE /images/{name}`; `platforms` is of API 1.50.
pub(super) async fn remove(call: Call, name: &str) -> Result<Response> {
    let (force, noprune) = (call.query.flag("force"), call.query.flag("noprune"));
    let platforms = platforms(&call, "platforms")?;
    let removed = call.engine.remove_image(name, &platforms, force, noprune);
    Ok(body::json(StatusCode::OK, &removed.await?))
}

/// `POST /images/prune`.
pub(super) async fn prune(call: Call) -> Result<Response> {
    Ok(body::json(
        StatusCode::OK,
        &call.engine.prune_images(&call.filters()?).await?,
    ))
}

/// `POST /images/create`: a pull, of all tags where none is named. An error before the first event is an error of HTTP, a later one is told in
/// the stream.
pub(super) async fn pull(call: Call) -> Result<Response> {
    let query = &call.query;
    if query.text("fromSrc").is_some() {
        return import(call).await;
    }
    let image = query
        .text("fromImage")
        .ok_or_else(|| ApiError::bad_request("no image to pull was named"))?;
    // Clients that want all tags may send a name with a colon and nothing behind it.
    let image = image.strip_suffix(':').unwrap_or(image);
    let tag = query.text("tag");
    let all_tags = tag.is_none() && is_repository(image);
    let reference = with_tag(image, tag);
    let platform = platform(&call)?;
    let credentials = registries::credentials(&call)?;
    let engine = call.engine;
    let (sender, events) = mpsc::channel(limits::QUEUE);
    let work = async move {
        let (platform, credentials) = (platform.as_ref(), credentials.as_ref());
        let pulled = if all_tags {
            engine
                .pull_repository(&reference, platform, credentials, sender)
                .await
        } else {
            engine.pull_image(&reference, platform, credentials, sender).await
        };
        pulled.map(|()| Vec::new()).map_err(ApiError::from)
    };
    told(work, events, |event| Some(progress::pull_line(event))).await
}

/// `POST /images/{name}/push`. Docker's clients always send a header with credentials, which may be empty.
pub(super) async fn push(call: Call, name: &str) -> Result<Response> {
    let (platform, credentials) = (platform(&call)?, registries::credentials(&call)?);
    let (name, tag) = (name.to_owned(), call.query.text("tag").map(str::to_owned));
    let engine = call.engine;
    let (sender, events) = mpsc::channel(limits::QUEUE);
    let work = async move {
        let pushed = engine
            .push_image(
                &name,
                tag.as_deref(),
                platform.as_ref(),
                credentials.as_ref(),
                sender,
            )
            .await;
        pushed.map(|()| Vec::new()).map_err(ApiError::from)
    };
    told(work, events, progress::push_lines).await
}

/// `POST /images/create?fromSrc=-`: an image of the archive that is the request's body.
async fn import(call: Call) -> Result<Response> {
    let query = &call.query;
    if query.text("fromSrc") != Some("-") {
        return Err(ApiError::bad_request(
            "sampan imports what the client sends: fetch the archive first, then import it from stdin",
        ));
    }
    let platform = platform(&call)?;
    let name = query.text("repo").map(|repo| with_tag(repo, query.text("tag")));
    let (message, changes) = (
        query.text("message").unwrap_or_default().to_owned(),
        query.all("changes"),
    );
    let data = BodyDataStream::new(call.request.into_body());
    let mut reader = StreamReader::new(data.map_err(io::Error::other));
    let id = call
        .engine
        .import_image(
            &mut reader,
            name.as_deref(),
            platform.as_ref(),
            &message,
            &changes,
        )
        .await;
    engine::drain(reader).await;
    let line = body::line(&serde_json::json!({ "status": id? })).map_err(io::Error::other);
    Ok(body::stream(
        body::JSON,
        futures_util::stream::once(async move { line }),
    ))
}

/// `POST /commit`: an image of a container.
pub(super) async fn commit(call: Call) -> Result<Response> {
    let query = &call.query;
    let container = query
        .text("container")
        .ok_or_else(|| ApiError::bad_request("missing parameter in request: container"))?
        .to_owned();
    let options = CommitOptions {
        name: query.text("repo").map(|repo| with_tag(repo, query.text("tag"))),
        comment: query.text("comment").unwrap_or_default().to_owned(),
        author: query.text("author").unwrap_or_default().to_owned(),
        pause: query.flag_or("pause", true),
        changes: query.all("changes"),
        config: None,
    };
    // Clients send a configuration, `null`, or nothing at all.
    let config = match body::read_bounded(call.request).await {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::bad_request(format!("invalid JSON: {error}")))?,
        Err(error) if error.message.contains("EOF") => None,
        Err(error) => return Err(error),
    };
    let id = call
        .engine
        .commit_container(&container, CommitOptions { config, ..options })
        .await?;
    Ok(body::json(StatusCode::CREATED, &serde_json::json!({ "Id": id })))
}

/// `name` with `tag`, which may also be a digest, unless the name has one.
fn with_tag(name: &str, tag: Option<&str>) -> String {
    match tag {
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    }
}

/// Whether a name has neither a tag nor a digest.
fn is_repository(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    !last.contains([':', '@'])
}

/// `POST /images/load`. The archive is read as it comes.
pub(super) async fn load(call: Call) -> Result<Response> {
    let quiet = call.query.flag("quiet");
    let platforms = platforms(&call, "platform")?;
    let engine = call.engine;
    let archive = BodyDataStream::new(call.request.into_body()).map_err(io::Error::other);
    let (sender, events) = mpsc::channel(limits::QUEUE);
    let work = async move {
        let mut archive = StreamReader::new(archive);
        let loaded = engine.load_images(&mut archive, &platforms, sender).await;
        engine::drain(archive).await;
        Ok(loaded?
            .iter()
            .map(|image| json!({ "stream": format!("{image}\n") }))
            .collect())
    };
    told(work, events, move |event| {
        if quiet { None } else { progress::load_line(event) }
    })
    .await
}

/// Answers with the events of some work, then its result, as JSON lines.
async fn told<W, E, F, L>(work: W, mut events: mpsc::Receiver<E>, lines_of: F) -> Result<Response>
where
    W: Future<Output = Result<Vec<Value>>> + Send + 'static,
    E: Send + 'static,
    F: Fn(&E) -> L + Send + 'static,
    L: IntoIterator<Item = Value, IntoIter: Send> + Send,
{
    let (lines, answer) = mpsc::channel::<Value>(limits::QUEUE);
    let (began, beginning) = oneshot::channel::<Result<()>>();
    // The work stops when the client hangs up: its lines have nowhere to go.
    tokio::spawn(journey::carry(async move {
        let mut began = Some(began);
        let mut work = std::pin::pin!(work);
        let mut result = None;
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = lines.closed() => return,
                done = &mut work, if result.is_none() => {
                    result = Some(done);
                    continue;
                }
            };
            let Some(event) = event else { break };
            if let Some(began) = began.take() {
                let _ = began.send(Ok(()));
            }
            for line in lines_of(&event) {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
        }
        let result = match result {
            Some(result) => result,
            None => work.await,
        };
        let last = match (result, began) {
            (Err(error), Some(began)) => {
                let _ = began.send(Err(error));
                return;
            }
            (Err(error), None) => vec![progress::error_line(&error.message)],
            (Ok(last), began) => {
                if let Some(began) = began {
                    let _ = began.send(Ok(()));
                }
                last
            }
        };
        for line in last {
            if lines.send(line).await.is_err() {
                return;
            }
        }
    }));
    beginning
        .await
        .map_err(|_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the work was given up"))??;
    Ok(body::stream(
        body::JSON,
        body::received(answer, |line| body::line(&line).map_err(io::Error::other)),
    ))
}

/// `GET /images/get` and `GET /images/{name}/get`: an archive as it is made.
pub(super) async fn save(call: Call, names: Vec<String>) -> Result<Response> {
    if names.is_empty() {
        return Err(ApiError::bad_request("no image to save was named"));
    }
    let platforms = platforms(&call, "platform")?;
    let engine = call.engine;
    let (writer, reader) = tokio::io::duplex(limits::STREAM_READ);
    let saving = tokio::spawn(async move { engine.save_images(&names, &platforms, writer).await });
    let mut chunks = ReaderStream::with_capacity(reader, limits::STREAM_READ);
    let first = chunks.next().await.transpose();
    let ended = |joined: Result<engine::Result<()>, tokio::task::JoinError>| match joined {
        Ok(saved) => saved.map_err(ApiError::from),
        Err(error) => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        )),
    };
    let Ok(Some(first)) = first else {
        ended(saving.await)?;
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the archive is empty",
        ));
    };
    // An archive that breaks off must not look whole: the error ends the body without its last chunk.
    let end = futures_util::stream::once(async move {
        match ended(saving.await) {
            Ok(()) => Ok(Bytes::new()),
            Err(error) => {
                tracing::error!(%error, "an archive broke off");
                Err(io::Error::other(error))
            }
        }
    });
    let first = futures_util::stream::once(async { Ok(first) });
    Ok(body::stream(body::TAR, first.chain(chunks).chain(end)))
}

#[cfg(test)]
mod tests {
    use engine::PullEvent;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_tag_or_a_digest_is_put_onto_the_name() {
        assert_eq!(with_tag("alpine", Some("3")), "alpine:3");
        assert_eq!(with_tag("alpine", Some("sha256:ab")), "alpine@sha256:ab");
        assert_eq!(with_tag("alpine:3", None), "alpine:3");
    }

    #[test]
    fn a_name_without_tag_and_digest_means_all_tags() {
        for (name, all) in [
            ("alpine", true),
            ("localhost:5000/team/app", true),
            ("localhost:5000/app:1", false),
            ("app@sha256:ab", false),
        ] {
            assert_eq!(is_repository(name), all, "{name}");
        }
    }

    async fn lines(response: Response) -> Vec<Value> {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn tell(event: &PullEvent) -> Option<Value> {
        Some(progress::pull_line(event))
    }

    #[tokio::test]
    async fn an_error_before_the_first_event_is_an_error_of_http() {
        let (_, events) = mpsc::channel(1);
        let work = async { Err(ApiError::new(StatusCode::NOT_FOUND, "manifest unknown")) };
        let error = told(work, events, tell).await.unwrap_err();
        assert_eq!(error.status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn an_error_after_the_first_event_is_told_in_the_stream() {
        let (sender, events) = mpsc::channel(1);
        let work = async move {
            sender
                .send(PullEvent::PullingFsLayer { id: "a".into() })
                .await
                .unwrap();
            Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the registry went away",
            ))
        };
        let lines = lines(told(work, events, tell).await.unwrap()).await;
        assert_eq!(lines[0]["status"], "Pulling fs layer");
        assert_eq!(lines[1]["error"], "the registry went away");
    }

    #[tokio::test]
    async fn the_result_comes_after_every_event() {
        let (sender, events) = mpsc::channel(8);
        let work = async move {
            for id in ["a", "b"] {
                sender
                    .send(PullEvent::PullComplete { id: id.into() })
                    .await
                    .unwrap();
            }
            Ok(vec![json!({ "stream": "Loaded" })])
        };
        let lines = lines(told(work, events, tell).await.unwrap()).await;
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2]["stream"], "Loaded");
    }
}
