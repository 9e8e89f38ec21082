//! An image in the shapes of Docker's API.

use std::collections::HashMap;

use bollard_stubs::models::{
    DriverData, HealthConfig, ImageConfig, ImageHistoryResponseItem, ImageInspect, ImageInspectRootFs,
    ImageSummary,
};
use store::Image;

use crate::time;

/// When an image was built, in nanoseconds since the Unix epoch; 0 where it does not say.
pub(super) fn created(image: &Image) -> i64 {
    image
        .created
        .as_deref()
        .and_then(time::parse_rfc3339)
        .unwrap_or(0)
}

pub(super) fn size(image: &Image) -> i64 {
    i64::try_from(image.size).unwrap_or(i64::MAX)
}

pub(super) fn summary(image: &Image, containers: usize) -> ImageSummary {
    ImageSummary {
        id: image.id.to_string(),
        parent_id: String::new(),
        repo_tags: image.repo_tags.clone(),
        repo_digests: image.repo_digests.clone(),
        created: created(image) / 1_000_000_000,
        size: size(image),
        shared_size: -1,
        labels: image.config.labels.clone().into_iter().collect(),
        containers: i64::try_from(containers).unwrap_or(i64::MAX),
        manifests: None,
        descriptor: None,
    }
}

pub(super) fn inspect(image: &Image) -> ImageInspect {
    let config = &image.config;
    let list = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
    let comment = image.history.last().and_then(|step| step.comment.clone());
    ImageInspect {
        id: Some(image.id.to_string()),
        descriptor: None,
        manifests: None,
        identity: None,
        repo_tags: Some(image.repo_tags.clone()),
        repo_digests: Some(image.repo_digests.clone()),
        comment: Some(comment.unwrap_or_default()),
        created: image.created.clone(),
        author: Some(image.author.clone().unwrap_or_default()),
        config: Some(ImageConfig {
            user: Some(config.user.clone()),
            exposed_ports: list(&config.exposed_ports),
            env: Some(config.env.clone()),
            cmd: config.cmd.clone(),
            healthcheck: config.healthcheck.as_ref().map(|check| HealthConfig {
                test: Some(check.test.clone()),
                interval: Some(check.interval),
                timeout: Some(check.timeout),
                retries: Some(check.retries),
                start_period: Some(check.start_period),
                start_interval: Some(check.start_interval),
            }),
            args_escaped: None,
            volumes: list(&config.volumes),
            working_dir: Some(config.working_dir.clone()),
            entrypoint: config.entrypoint.clone(),
            on_build: list(&config.on_build),
            labels: Some(config.labels.clone().into_iter().collect()),
            stop_signal: config.stop_signal.clone(),
            shell: config.shell.clone(),
        }),
        architecture: Some(image.platform.architecture.clone()),
        variant: image.platform.variant.clone(),
        os: Some(image.platform.os.clone()),
        os_version: None,
        size: Some(size(image)),
        graph_driver: Some(DriverData {
            name: "overlayfs".to_owned(),
            data: HashMap::new(),
        }),
        root_fs: Some(ImageInspectRootFs {
            typ: "layers".to_owned(),
            layers: Some(
                image
                    .layers
                    .iter()
                    .map(|layer| layer.diff_id.to_string())
                    .collect(),
            ),
        }),
        metadata: None,
    }
}

pub(super) fn history(image: &Image) -> Vec<ImageHistoryResponseItem> {
    let mut sizes = image
        .layer_sizes
        .iter()
        .map(|size| i64::try_from(*size).unwrap_or(i64::MAX));
    let mut items: Vec<ImageHistoryResponseItem> = image
        .history
        .iter()
        .map(|step| ImageHistoryResponseItem {
            id: "<missing>".to_owned(),
            created: step.created.as_deref().and_then(time::parse_rfc3339).unwrap_or(0) / 1_000_000_000,
            created_by: step.created_by.clone().unwrap_or_default(),
            tags: Vec::new(),
            size: if step.empty_layer {
                0
            } else {
                sizes.next().unwrap_or(0)
            },
            comment: step.comment.clone().unwrap_or_default(),
        })
        .collect();
    items.reverse();
    if let Some(newest) = items.first_mut() {
        newest.id = image.id.to_string();
        newest.tags.clone_from(&image.repo_tags);
    }
    items
}
