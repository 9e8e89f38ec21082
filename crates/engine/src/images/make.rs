//! Images that are made from containers (`commit`) and from archives (`import`).

use bollard_stubs::models::ContainerConfig;
use futures_util::StreamExt;
use serde_json::Value;
use store::{Composition, Platform, Reference, StoreError};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::changes;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::record::Phase;
use crate::time;

/// What becomes of a container's files.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The name of the image, with or without a tag.
    pub name: Option<String>,
    pub comment: String,
    pub author: String,
    /// Whether the container stands still meanwhile.
    pub pause: bool,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// What the image's containers run, where that is not what this one runs.
    pub config: Option<ContainerConfig>,
}

impl Engine {
    /// Makes an image of a container's files and configuration, and returns its ID.
    pub async fn commit_container(&self, id: &str, options: CommitOptions) -> Result<String> {
        let container = self.inner.registry.find(id)?;
        let names = options.name.as_deref().map(parse).transpose()?;
        let inner = self.inner.clone();
        self.complete(async move {
            let record = container.record();
            if record.state.phase == Phase::Dead {
                return Err(EngineError::Conflict(format!(
                    "You cannot commit container {} which is Dead",
                    record.id
                )));
            }
            let mut config = merged(record.config.clone(), options.config);
            changes::apply(&mut config, &options.changes)?;
            let image = inner.find_image(&record.image_id, None).await?;
            let mut paused = options.pause && record.state.phase == Phase::Running;
            if paused {
                match inner.freeze(&container, true).await {
                    Ok(()) => {}
                    // One that has just ended stands still by itself.
                    Err(EngineError::NotRunning(_)) => paused = false,
                    Err(error) => return Err(error),
                }
            }
            let made = async {
                let layer = inner.layer_of(&container).await?;
                let layer = tokio_stream(layer);
                let mut words = vec![record.path.clone()];
                words.extend(record.args.iter().cloned());
                let composition = Composition {
                    base: Some(image.id.clone()),
                    platform: image.platform.clone(),
                    config: config_json(&config)?,
                    created: time::rfc3339(time::now()),
                    author: options.author.clone(),
                    comment: options.comment.clone(),
                    created_by: words.join(" "),
                    names: names.iter().cloned().collect(),
                };
                Ok::<_, EngineError>(inner.store.compose(layer, composition).await?)
            }
            .await;
            if paused {
                match inner.freeze(&container, false).await {
                    Ok(()) | Err(EngineError::NotRunning(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let id = made?;
            inner.container_event(
                &container,
                "commit",
                [
                    ("comment".to_owned(), options.comment),
                    ("imageID".to_owned(), id.to_string()),
                    (
                        "imageRef".to_owned(),
                        names.map(|name| name.familiar()).unwrap_or_default(),
                    ),
                ],
            );
            Ok(id.to_string())
        })
        .await
    }

    /// Makes an image of a tar of a root file system, and returns its ID.
    pub async fn import_image(
        &self,
        archive: impl AsyncRead + Unpin + Send,
        name: Option<&str>,
        platform: Option<&Platform>,
        message: &str,
        instructions: &[String],
    ) -> Result<String> {
        let mut config = ContainerConfig::default();
        changes::apply(&mut config, instructions)?;
        let name = name.map(parse).transpose()?;
        let composition = Composition {
            base: None,
            platform: platform
                .cloned()
                .unwrap_or_else(|| Platform::linux(self.inner.config.architecture)),
            config: config_json(&config)?,
            created: time::rfc3339(time::now()),
            author: String::new(),
            comment: message.to_owned(),
            created_by: String::new(),
            names: name.iter().cloned().collect(),
        };
        let id = self.inner.store.compose(archive, composition).await?.to_string();
        let shown = name.map_or_else(|| id.clone(), |name| name.familiar());
        self.inner.image_event("import", &id, &shown);
        Ok(id)
    }
}

fn parse(name: &str) -> Result<Reference> {
    Ok(name.parse().map_err(StoreError::from)?)
}

fn tokio_stream(layer: crate::container::FileStream) -> impl AsyncRead + Unpin + Send {
    let chunks = futures_util::stream::unfold(layer, |mut layer| async move {
        let chunk = layer.recv().await?;
        Some((chunk, layer))
    });
    StreamReader::new(chunks.boxed())
}

/// An image's configuration as Docker writes it: without what belongs to one container.
fn config_json(config: &ContainerConfig) -> Result<Value> {
    let config = ContainerConfig {
        hostname: None,
        domainname: None,
        attach_stdin: None,
        attach_stdout: None,
        attach_stderr: None,
        tty: None,
        open_stdin: None,
        stdin_once: None,
        image: None,
        network_disabled: None,
        ..config.clone()
    };
    serde_json::to_value(&config)
        .map_err(|error| EngineError::Internal(format!("a configuration cannot be written: {error}")))
}

/// What is given over what the container has.
fn merged(own: ContainerConfig, given: Option<ContainerConfig>) -> ContainerConfig {
    let Some(given) = given else { return own };
    let text = |given: Option<String>, own: Option<String>| given.filter(|text| !text.is_empty()).or(own);
    let list =
        |given: Option<Vec<String>>, own: Option<Vec<String>>| given.filter(|list| !list.is_empty()).or(own);
    ContainerConfig {
        user: text(given.user, own.user),
        working_dir: text(given.working_dir, own.working_dir),
        cmd: list(given.cmd, own.cmd),
        entrypoint: list(given.entrypoint, own.entrypoint),
        env: list(given.env, own.env),
        exposed_ports: list(given.exposed_ports, own.exposed_ports),
        volumes: list(given.volumes, own.volumes),
        labels: match (given.labels, own.labels) {
            (Some(given), Some(mut own)) => {
                own.extend(given);
                Some(own)
            }
            (given, own) => given.or(own),
        },
        stop_signal: text(given.stop_signal, own.stop_signal),
        healthcheck: given.healthcheck.or(own.healthcheck),
        ..own
    }
}
