//! `docker system df` (moby `daemon/disk_usage.go`).

use std::collections::HashMap;

use bollard_stubs::models::{
    BuildCacheDiskUsage, ContainerSummary, ContainerSummaryStateEnum, ContainersDiskUsage, ImageSummary,
    ImagesDiskUsage, SystemDataUsageResponse, Volume, VolumeUsageData, VolumesDiskUsage,
};

use crate::engine::Engine;
use crate::error::Result;
use crate::filters::Filters;
use crate::record::{Record, VolumeRecord};
use crate::volumes;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsageObjects {
    pub containers: bool,
    pub images: bool,
    pub volumes: bool,
    pub build_cache: bool,
}

/// What holds how much: what was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskUsage {
    /// Bytes of all layers of images.
    pub layers: i64,
    pub images: Option<Vec<ImageSummary>>,
    pub containers: Option<Vec<ContainerSummary>>,
    pub volumes: Option<Vec<Volume>>,
    /// There is none, and it can be asked for all the same.
    pub build_cache: bool,
}

impl Engine {
    /// How much images, containers and volumes hold.
    pub async fn disk_usage(&self, objects: DiskUsageObjects) -> Result<DiskUsage> {
        let mut usage = DiskUsage {
            build_cache: objects.build_cache,
            ..DiskUsage::default()
        };
        if objects.images {
            let store = self.inner.blocking(|inner| Ok(inner.store.disk_usage()?)).await?;
            let shared: HashMap<String, u64> = store
                .images
                .iter()
                .map(|image| (image.id.to_string(), image.shared))
                .collect();
            let mut images = self.list_images(true, &Filters::default()).await?;
            for image in &mut images {
                image.shared_size = shared.get(&image.id).map_or(-1, |bytes| number(*bytes));
            }
            usage.layers = number(store.layers);
            usage.images = Some(images);
        }
        let mut containers = if objects.containers {
            self.list_containers(true, None, &Filters::default()).await?
        } else {
            Vec::new()
        };
        let inner = &self.inner;
        let listed = containers.iter().filter_map(|container| container.id.as_deref());
        let records: Vec<Record> = listed
            .filter_map(|id| Some(inner.registry.get(id)?.record()))
            .collect();
        let volumes = if objects.volumes {
            inner.volumes.all()
        } else {
            Vec::new()
        };
        // Both at once: they lie in the same machines.
        let sizes = inner.sizes(&records, &volumes).await;
        if objects.containers {
            inner.add_sizes(&mut containers, &sizes).await?;
            usage.containers = Some(containers);
        }
        if objects.volumes {
            let with_usage = |record: &VolumeRecord| Volume {
                usage_data: Some(VolumeUsageData {
                    size: sizes.volume(&record.name),
                    ref_count: count(inner.users_of(&record.name).len()),
                }),
                ..volumes::view(record)
            };
            usage.volumes = Some(volumes.iter().map(with_usage).collect());
        }
        Ok(usage)
    }
}

impl DiskUsage {
    /// The sums that API 1.52 tells; `verbose` adds what they are made of.
    pub fn summaries(&self, verbose: bool) -> SystemDataUsageResponse {
        SystemDataUsageResponse {
            image_usage: self.images.as_ref().map(|images| {
                let used = images.iter().filter(|image| image.containers != 0);
                // What only these use. An image whose size is not known counts for nothing.
                let own = used
                    .clone()
                    .filter(|image| image.size >= 0 && image.shared_size >= 0)
                    .map(|image| image.size.saturating_sub(image.shared_size));
                ImagesDiskUsage {
                    active_count: Some(count(used.count())),
                    total_count: Some(count(images.len())),
                    reclaimable: Some(self.layers.saturating_sub(sum(own))),
                    total_size: Some(self.layers),
                    items: verbose.then(|| values(images)).flatten(),
                }
            }),
            container_usage: self.containers.as_ref().map(|containers| {
                let size = |container: &ContainerSummary| container.size_rw.unwrap_or(0).max(0);
                let idle = containers.iter().filter(|container| !is_active(container));
                ContainersDiskUsage {
                    active_count: Some(count(containers.len().saturating_sub(idle.clone().count()))),
                    total_count: Some(count(containers.len())),
                    reclaimable: Some(sum(idle.map(size))),
                    total_size: Some(sum(containers.iter().map(size))),
                    items: verbose.then(|| values(containers)).flatten(),
                }
            }),
            volume_usage: self.volumes.as_ref().map(|volumes| {
                let usage = |volume: &Volume| {
                    let usage = volume.usage_data.as_ref();
                    usage.map_or((0, 0), |usage| (usage.size.max(0), usage.ref_count))
                };
                let sizes = volumes.iter().map(usage);
                let unused = sizes.clone().filter(|(_, users)| *users == 0);
                VolumesDiskUsage {
                    active_count: Some(count(volumes.len().saturating_sub(unused.clone().count()))),
                    total_count: Some(count(volumes.len())),
                    reclaimable: Some(sum(unused.map(|(size, _)| size))),
                    total_size: Some(sum(sizes.map(|(size, _)| size))),
                    items: verbose.then(|| values(volumes)).flatten(),
                }
            }),
            build_cache_usage: self.build_cache.then(|| BuildCacheDiskUsage {
                active_count: Some(0),
                total_count: Some(0),
                reclaimable: Some(0),
                total_size: Some(0),
                items: verbose.then(Vec::new),
            }),
        }
    }
}

/// Whether a container is in use, as the docker command sees it.
fn is_active(container: &ContainerSummary) -> bool {
    matches!(
        container.state,
        Some(
            ContainerSummaryStateEnum::RUNNING
                | ContainerSummaryStateEnum::PAUSED
                | ContainerSummaryStateEnum::RESTARTING
        )
    )
}

fn sum(sizes: impl Iterator<Item = i64>) -> i64 {
    sizes.fold(0, i64::saturating_add)
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

fn values<T: serde::Serialize>(items: &[T]) -> Option<Vec<serde_json::Value>> {
    items.iter().map(|item| serde_json::to_value(item).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: ContainerSummaryStateEnum, size: i64) -> ContainerSummary {
        ContainerSummary {
            state: Some(state),
            size_rw: Some(size),
            ..ContainerSummary::default()
        }
    }

    fn volume(size: i64, ref_count: i64) -> Volume {
        Volume {
            usage_data: Some(VolumeUsageData { size, ref_count }),
            ..Volume::default()
        }
    }

    #[test]
    fn what_nothing_uses_can_be_reclaimed_and_what_is_not_known_counts_for_nothing() {
        let image = |containers, size, shared_size| ImageSummary {
            containers,
            size,
            shared_size,
            ..ImageSummary::default()
        };
        let usage = DiskUsage {
            layers: 100,
            images: Some(vec![image(1, 60, 20), image(0, 60, 20), image(2, 5, -1)]),
            containers: Some(vec![
                container(ContainerSummaryStateEnum::PAUSED, 7),
                container(ContainerSummaryStateEnum::EXITED, 4),
                container(ContainerSummaryStateEnum::CREATED, -1),
            ]),
            volumes: Some(vec![volume(3, 1), volume(2, 0), volume(-1, 0)]),
            build_cache: false,
        };
        let summaries = usage.summaries(false);
        let images = summaries.image_usage.unwrap();
        assert_eq!((images.active_count, images.reclaimable), (Some(2), Some(60)));
        let containers = summaries.container_usage.unwrap();
        assert_eq!(
            (
                containers.active_count,
                containers.total_size,
                containers.reclaimable
            ),
            (Some(1), Some(11), Some(4))
        );
        let volumes = summaries.volume_usage.unwrap();
        assert_eq!(
            (volumes.active_count, volumes.total_size, volumes.reclaimable),
            (Some(1), Some(5), Some(2))
        );
        assert_eq!((volumes.items, summaries.build_cache_usage), (None, None));
    }
}
