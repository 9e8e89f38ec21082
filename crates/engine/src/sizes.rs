//! How much containers and volumes hold. Their guest counts it; a machine that was stopped in an orderly way counted
//! everything before, and what it said holds until it runs again (`machine/sizes.rs`). So listing sizes boots a machine
//! only after one that ended without a word.

use std::collections::HashMap;
use std::sync::Arc;

use bollard_stubs::models::ContainerSummary;
use protocol::Architecture;

use crate::engine::{Engine, Inner};
use crate::error::Result;
use crate::machine::{Machine, ToCount};
use crate::record::{Record, VolumeRecord};

/// Docker's word for a size that is not known.
const UNKNOWN: i64 = -1;

/// Sizes in bytes, by the IDs of containers and the names of volumes. What is missing could not be counted.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    containers: HashMap<String, i64>,
    volumes: HashMap<String, i64>,
}

impl Sizes {
    pub(crate) fn container(&self, id: &str) -> i64 {
        self.containers.get(id).copied().unwrap_or(UNKNOWN)
    }

    pub(crate) fn volume(&self, name: &str) -> i64 {
        self.volumes.get(name).copied().unwrap_or(UNKNOWN)
    }
}

impl Engine {
    /// Adds to a list of containers how much they hold.
    pub async fn add_sizes(&self, containers: &mut [ContainerSummary]) -> Result<()> {
        let listed = containers.iter().filter_map(|container| container.id.as_deref());
        let records: Vec<Record> = listed
            .filter_map(|id| Some(self.inner.registry.get(id)?.record()))
            .collect();
        let sizes = self.inner.sizes(&records, &[]).await;
        self.inner.add_sizes(containers, &sizes).await
    }

    /// How much a container holds: by itself, and together with its image.
    pub async fn container_sizes(&self, id: &str) -> Result<(i64, i64)> {
        let record = self.inner.registry.find(id)?.record();
        let sizes = self.inner.sizes(std::slice::from_ref(&record), &[]).await;
        let own = sizes.container(&record.id);
        let image = self.inner.find_image(&record.image_id, None).await;
        Ok((own, whole(own, image.ok().map(|image| image.size))))
    }
}

impl Inner {
    pub(crate) async fn add_sizes(
        self: &Arc<Self>,
        containers: &mut [ContainerSummary],
        sizes: &Sizes,
    ) -> Result<()> {
        let images = self.blocking(|inner| Ok(inner.store.list()?)).await?;
        let images: HashMap<String, u64> = images
            .iter()
            .map(|image| (image.id.to_string(), image.size))
            .collect();
        for container in containers {
            let own = sizes.container(container.id.as_deref().unwrap_or_default());
            let image = container.image_id.as_ref().and_then(|id| images.get(id).copied());
            container.size_rw = Some(own);
            container.size_root_fs = Some(whole(own, image));
        }
        Ok(())
    }

    /// How much these hold now. What its machine does not tell is missing.
    pub(crate) async fn sizes(&self, containers: &[Record], volumes: &[VolumeRecord]) -> Sizes {
        let mut sizes = Sizes::default();
        for machine in self.machines() {
            let wanted = to_count(machine.architecture(), containers, volumes);
            if wanted.is_empty() {
                continue;
            }
            let counted = match count(machine, wanted).await {
                Ok(counted) => counted,
                Err(error) => {
                    tracing::warn!(%error, "the sizes of containers and volumes are not known");
                    continue;
                }
            };
            let known = |(name, bytes): (String, Option<u64>)| Some((name, number(bytes?)));
            sizes
                .containers
                .extend(counted.containers.into_iter().filter_map(known));
            let by_directory: HashMap<String, i64> = counted.volumes.into_iter().filter_map(known).collect();
            sizes.volumes.extend(volumes.iter().filter_map(|volume| {
                let bytes = by_directory.get(&volume.id)?;
                Some((volume.name.clone(), *bytes))
            }));
        }
        // What no guest has ever seen holds nothing.
        let unseen = containers.iter().filter(|record| !record.ran);
        sizes
            .containers
            .extend(unseen.map(|record| (record.id.clone(), 0)));
        let unseen = volumes.iter().filter(|volume| volume.architecture.is_none());
        sizes
            .volumes
            .extend(unseen.map(|volume| (volume.name.clone(), 0)));
        sizes
    }

    /// Stops a machine in an orderly way.
    pub(crate) async fn stop_machine(&self, architecture: Architecture) {
        let wanted = self.to_count(architecture);
        self.machine(architecture).stop(wanted).await;
        self.give_restarts_up(architecture).await;
    }

    /// The same for a machine that nobody uses.
    pub(crate) async fn stop_unused_machine(&self, architecture: Architecture) {
        let wanted = self.to_count(architecture);
        self.machine(architecture).stop_unused(wanted).await;
    }

    /// What a machine has something of.
    fn to_count(&self, architecture: Architecture) -> ToCount {
        let records: Vec<Record> = self
            .registry
            .all()
            .iter()
            .map(|container| container.record())
            .collect();
        to_count(architecture, &records, &self.volumes.all())
    }
}

/// What of these a machine has something of.
fn to_count(architecture: Architecture, containers: &[Record], volumes: &[VolumeRecord]) -> ToCount {
    ToCount {
        containers: containers
            .iter()
            .filter(|record| record.ran && record.architecture == architecture)
            .map(|record| record.id.clone())
            .collect(),
        volumes: volumes
            .iter()
            .filter(|volume| volume.architecture == Some(architecture))
            .map(|volume| volume.id.clone())
            .collect(),
    }
}

/// Asks the guest. One that ends meanwhile has told nothing, so the next one is asked, once.
async fn count(machine: &Arc<Machine>, wanted: ToCount) -> Result<crate::machine::Counted> {
    let mut again = true;
    loop {
        if machine.running().is_none()
            && let Some(counted) = machine.recall_sizes(&wanted).await
        {
            return Ok(counted);
        }
        let guest = machine.guest().await?;
        match guest.count(&wanted).await {
            Ok(counted) => return Ok(counted),
            Err(_) if again && !guest.is_alive() => again = false,
            Err(error) => return Err(machine.error(format!("did not count: {error}"))),
        }
    }
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A container with its image.
fn whole(own: i64, image: Option<u64>) -> i64 {
    image.map_or(0, number).saturating_add(own.max(0))
}
