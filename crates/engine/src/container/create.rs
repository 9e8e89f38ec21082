//! Creating a container: a record on the host. The guest learns of it when it starts.

use std::sync::Arc;

use bollard_stubs::models::{ContainerCreateBody, ContainerCreateResponse};
use journey::Step;
use protocol::Architecture;
use store::{Image, Platform};

use super::resolve::Resolved;
use super::{Container, mounts, resolve, validate};
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::record::{Record, RunState};
use crate::{log, names, network, time};

impl Engine {
    /// Creates a container and returns once its record is on disk. An image that is not there is
    /// [`crate::Kind::NotFound`]; the caller pulls it.
    pub async fn create_container(
        &self,
        name: Option<&str>,
        platform: Option<&Platform>,
        body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse> {
        let inner = self.inner.clone();
        let name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let platform = platform.cloned();
        self.complete(async move { inner.create(name.as_deref(), platform.as_ref(), body).await })
            .await
    }
}

impl Inner {
    async fn create(
        &self,
        name: Option<&str>,
        platform: Option<&Platform>,
        mut body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse> {
        let name = name.map(validate::name).transpose()?;
        let host = body.host_config.get_or_insert_default();
        log::settle(&self.config.log, host.log_config.get_or_insert_default());
        validate::request(&body, self.config.cpus)?;
        let wanted = body
            .image
            .clone()
            .filter(|image| !image.is_empty())
            .ok_or_else(|| {
                EngineError::BadRequest("config cannot be empty in order to create a container".to_owned())
            })?;
        let _using = self.image_users.read().await;
        let image = self.look_up(&wanted, platform).await?;
        let architecture = architecture_of(&image, &wanted)?;
        let id = names::new_id()?;
        let wanted = mounts::wanted(&body, &image.config.volumes, |container| {
            let container = self.registry.find(container)?;
            Ok(container.with_record(|record| record.volumes.clone()))
        })?;
        let networks = network::resolve_endpoints(&body)?;
        let resolved = resolve::resolve(&id, body, &image.config)?;
        let resolved = self.resolve_namespaces(resolved)?;
        network::check_rate(&resolved.config, resolved.host_config.network_mode.as_deref())?;
        // An unnamed volume of a container that is not promised is not either.
        let promised = !resolved.host_config.auto_remove.unwrap_or(false);
        let volumes_held = if wanted.is_empty() {
            None
        } else {
            Some(self.volumes.transition.lock().await)
        };
        let volumes = self.take_volumes(wanted, architecture, promised).await?;
        let name = match self.registry.reserve(name, &id) {
            Ok(name) => name,
            Err(error) => {
                drop(volumes_held);
                self.drop_anonymous_volumes(&volumes).await;
                return Err(error);
            }
        };
        let record = Record {
            id: id.clone(),
            name: name.clone(),
            created: time::now(),
            architecture,
            image_id: image.id.to_string(),
            path: resolved.path,
            args: resolved.args,
            config: resolved.config,
            host_config: resolved.host_config,
            state: RunState::default(),
            ran: false,
            networks,
            restart_count: 0,
            volumes,
        };
        // A container that goes away with its run goes away with the service too, so nobody is promised its
        // record.
        let promised = !record.auto_remove();
        let recording = journey::begin();
        let written = if promised {
            match self.state.put(&record) {
                Ok(commit) => commit.on_disk().await,
                Err(error) => Err(error),
            }
        } else {
            self.state.put_lazily(&record)
        };
        recording.ended(&written, || Step::ContainerRecorded {
            id: id.clone(),
            name: name.clone(),
            promised,
        });
        if let Err(error) = written {
            drop(volumes_held);
            self.drop_anonymous_volumes(&record.volumes).await;
            self.registry.release(&name, &id);
            return Err(error);
        }
        let container = Arc::new(Container::new(record, &self.containers_folder()));
        self.registry.insert(container.clone());
        drop(volumes_held);
        self.container_event(&container, "create", []);
        Ok(ContainerCreateResponse {
            id,
            warnings: resolved.warnings,
        })
    }
}

impl Inner {
    /// The image that a container is made of.
    async fn look_up(&self, name: &str, platform: Option<&Platform>) -> Result<Image> {
        let looking = journey::begin();
        let found = self.find_image(name, platform).await;
        // That it is not there is an answer, upon which the client pulls it.
        looking.done(|| Step::ImageLookup {
            image: name.to_owned(),
            found: found
                .as_ref()
                .ok()
                .map(|image| (image.id.to_string(), image.layers.len())),
        });
        found
    }

    /// Containers whose namespaces are to be shared are remembered by their IDs, whatever they are called later.
    fn resolve_namespaces(&self, mut resolved: Resolved) -> Result<Resolved> {
        let host = &mut resolved.host_config;
        for mode in [&mut host.network_mode, &mut host.pid_mode, &mut host.ipc_mode] {
            if let Some(name) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
                *mode = Some(format!("container:{}", self.registry.find(name)?.id));
            }
        }
        Ok(resolved)
    }
}

/// The machine that an image's containers run in.
fn architecture_of(image: &Image, name: &str) -> Result<Architecture> {
    image
        .platform
        .runs_on()
        .filter(|_| image.platform.os == "linux")
        .ok_or_else(|| {
            EngineError::BadRequest(format!(
                "image {name} is for {}, and sampan runs linux/amd64 and linux/arm64",
                image.platform
            ))
        })
}
