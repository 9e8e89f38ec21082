//! Creating a container: a record on the host. The guest learns of it when it starts.

use std::sync::Arc;

use bollard_stubs::models::{ContainerCreateBody, ContainerCreateResponse};
use protocol::Architecture;
use store::{Image, Platform};

use super::{Container, resolve, validate};
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::record::{Record, RunState};
use crate::{names, time};

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
        body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse> {
        let name = name.map(validate::name).transpose()?;
        validate::request(&body, self.config.cpus)?;
        let wanted = body
            .image
            .clone()
            .filter(|image| !image.is_empty())
            .ok_or_else(|| {
                EngineError::BadRequest("config cannot be empty in order to create a container".to_owned())
            })?;
        let image = self.find_image(&wanted, platform).await?;
        let architecture = architecture_of(&image, &wanted)?;
        let id = names::new_id()?;
        let resolved = resolve::resolve(&id, body, &image.config)?;
        let name = self.registry.reserve(name, &id)?;
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
        };
        // A container that goes away with its run goes away with the service too, so nobody is promised its
        // record.
        let written = if record.auto_remove() {
            self.state.put_lazily(&record)
        } else {
            match self.state.put(&record) {
                Ok(commit) => commit.on_disk().await,
                Err(error) => Err(error),
            }
        };
        if let Err(error) = written {
            self.registry.release(&name, &id);
            return Err(error);
        }
        let container = Arc::new(Container::new(record, &self.containers_folder()));
        self.registry.insert(container.clone());
        self.container_event(&container, "create", []);
        Ok(ContainerCreateResponse {
            id,
            warnings: resolved.warnings,
        })
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
