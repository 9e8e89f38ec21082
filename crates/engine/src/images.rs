//! Images: the store's, with what containers have to say about them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bollard_stubs::models::{
    DriverData, EventMessageTypeEnum, HealthConfig, ImageConfig, ImageDeleteResponseItem,
    ImageHistoryResponseItem, ImageInspect, ImageInspectRootFs, ImagePruneResponse, ImageSummary,
};
use store::{Credentials, Image, Loaded, Platform, PullEvent, Reference, Removal, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::filters::Filters;
use crate::names::{self, SHORT};
use crate::time;

const KNOWN: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];

impl Engine {
    /// Pulls an image. `reference` is as the user wrote it; without a platform the default machine's is meant. Progress
    /// ends when the sender is dropped, on return. Dropping the future cancels the pull.
    pub async fn pull_image(
        &self,
        reference: &str,
        platform: Option<&Platform>,
        credentials: Option<&Credentials>,
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<()> {
        let reference: Reference = reference.parse().map_err(StoreError::from)?;
        let default = Platform::linux(self.inner.config.architecture);
        let platform = platform.unwrap_or(&default);
        self.inner
            .store
            .pull(&reference, platform, credentials, progress)
            .await?;
        self.inner
            .image_event("pull", &reference.familiar(), &reference.familiar());
        Ok(())
    }

    /// The images of the store, newest first.
    pub async fn list_images(&self, all: bool, filters: &Filters) -> Result<Vec<ImageSummary>> {
        let _ = all;
        filters.only(KNOWN)?;
        let inner = self.inner.clone();
        let filters = filters.clone();
        self.complete(async move {
            let images = inner.blocking(|inner| Ok(inner.store.list()?)).await?;
            let used = inner.image_users();
            let created = |name: &str| -> Result<Option<i64>> {
                let Some(name) = filters.values(name).last() else {
                    return Ok(None);
                };
                Ok(Some(created(&inner.store.find(name, None)?)))
            };
            let (before, since) = (created("before")?, created("since")?);
            let dangling = filters.truth("dangling")?;
            let until = filters
                .values("until")
                .last()
                .map(|text| crate::container::until_time(text))
                .transpose()?;
            Ok(images
                .iter()
                .filter(|image| {
                    let time = self::created(image);
                    dangling.is_none_or(|dangling| image.repo_tags.is_empty() == dangling)
                        && before.is_none_or(|before| time < before)
                        && since.is_none_or(|since| time > since)
                        && until.is_none_or(|until| time < until)
                        && filters
                            .labels_match("label", |name| image.config.labels.get(name).map(String::as_str))
                        && filters.any("reference", |pattern| {
                            image.repo_tags.iter().any(|tag| reference_matches(tag, pattern))
                        })
                })
                .map(|image| summary(image, used.get(&image.id.to_string()).map_or(0, Vec::len)))
                .collect())
        })
        .await
    }

    /// Everything about an image.
    pub async fn inspect_image(&self, name: &str) -> Result<ImageInspect> {
        Ok(inspect(&self.inner.find_image(name, None).await?))
    }

    /// How an image was built, newest step first.
    pub async fn image_history(&self, name: &str) -> Result<Vec<ImageHistoryResponseItem>> {
        Ok(history(&self.inner.find_image(name, None).await?))
    }

    /// Takes a name off an image, and removes it with its last name. Refused while a container uses it: by a running one
    /// always, by a stopped one unless forced.
    pub async fn remove_image(
        &self,
        name: &str,
        force: bool,
        noprune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let _ = noprune;
        let inner = self.inner.clone();
        let name = name.to_owned();
        self.complete(async move { inner.remove_image(&name, force).await })
            .await
    }

    /// Gives an image one more name.
    pub async fn tag_image(&self, name: &str, repository: &str, tag: Option<&str>) -> Result<()> {
        let target = match tag.filter(|tag| !tag.is_empty()) {
            Some(tag) => format!("{repository}:{tag}"),
            None => repository.to_owned(),
        };
        let target: Reference = target.parse().map_err(StoreError::from)?;
        let image = self.inner.find_image(name, None).await?;
        let inner = self.inner.clone();
        let id = image.id.to_string();
        self.complete(async move {
            inner
                .blocking({
                    let (id, target) = (id.clone(), target.clone());
                    move |inner| Ok(inner.store.tag(&id, &target)?)
                })
                .await?;
            inner.image_event("tag", &id, &target.familiar());
            Ok(())
        })
        .await
    }

    /// Takes in the images of an archive. Dropping the future cancels it; whole images stay.
    pub async fn load_images(
        &self,
        archive: impl AsyncRead + Unpin + Send,
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<Vec<Loaded>> {
        let loaded = self.inner.store.load(archive, progress).await?;
        for image in &loaded {
            let name = match image {
                Loaded::Reference(name) => name.clone(),
                Loaded::Id(id) => id.to_string(),
            };
            self.inner.image_event("load", &name, &name);
        }
        Ok(loaded)
    }

    /// Writes images as one archive.
    pub async fn save_images(&self, names: &[String], out: impl AsyncWrite + Unpin + Send) -> Result<()> {
        self.inner.store.save(names, out).await?;
        for name in names {
            self.inner.image_event("save", name, name);
        }
        Ok(())
    }

    /// Removes images that no container uses: those without a name, or with the filter `dangling=false` all.
    pub async fn prune_images(&self, filters: &Filters) -> Result<ImagePruneResponse> {
        filters.only(&["dangling", "label", "label!", "until"])?;
        let dangling = filters.truth("dangling")?.unwrap_or(true);
        let until = filters
            .values("until")
            .last()
            .map(|text| crate::container::until_time(text))
            .transpose()?;
        let (inner, filters) = (self.inner.clone(), filters.clone());
        self.complete(async move {
            let before = inner.store_bytes().await?;
            let used = inner.image_users();
            let mut deleted = Vec::new();
            for image in inner.blocking(|inner| Ok(inner.store.list()?)).await? {
                let label = |name: &str| image.config.labels.get(name).map(String::as_str);
                let wanted = !used.contains_key(&image.id.to_string())
                    && (!dangling || image.repo_tags.is_empty())
                    && until.is_none_or(|until| created(&image) < until)
                    && filters.labels_match("label", label)
                    && (!filters.has("label!") || !filters.labels_match("label!", label));
                if wanted && let Ok(removed) = inner.remove_image(&image.id.to_string(), true).await {
                    deleted.extend(removed);
                }
            }
            let reclaimed = before.saturating_sub(inner.store_bytes().await?);
            Ok(ImagePruneResponse {
                images_deleted: Some(deleted),
                space_reclaimed: Some(i64::try_from(reclaimed).unwrap_or(i64::MAX)),
            })
        })
        .await
    }
}

impl Inner {
    /// Finds an image by name or ID.
    pub(crate) async fn find_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image> {
        // The store answers from its database's cache; this is shorter than a switch to another thread.
        Ok(self.store.find(name, platform)?)
    }

    /// Image IDs by every name that an image has, for lists that show names.
    pub(crate) async fn image_ids_by_name(&self) -> HashMap<String, String> {
        let images = self.store.list().unwrap_or_default();
        let mut ids = HashMap::new();
        for image in images {
            for tag in &image.repo_tags {
                if let Some(bare) = tag.strip_suffix(":latest") {
                    ids.insert(bare.to_owned(), image.id.to_string());
                }
                ids.insert(tag.clone(), image.id.to_string());
            }
        }
        ids
    }

    /// Containers by the ID of the image that they use: short ID, and whether it runs.
    fn image_users(&self) -> HashMap<String, Vec<(String, bool)>> {
        let mut users: HashMap<String, Vec<(String, bool)>> = HashMap::new();
        for container in self.registry.all() {
            let (image, running) =
                container.with_record(|record| (record.image_id.clone(), record.state.phase.is_running()));
            users
                .entry(image)
                .or_default()
                .push((names::short(&container.id).to_owned(), running));
        }
        users
    }

    /// The IDs of images that a container uses, for `system df`.
    pub(crate) fn used_images(&self) -> HashSet<String> {
        self.image_users().into_keys().collect()
    }

    async fn store_bytes(self: &Arc<Self>) -> Result<u64> {
        self.blocking(|inner| Ok(inner.store.disk_usage()?.layers)).await
    }

    /// Runs something that waits for the disk outside the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| EngineError::Internal(format!("an operation was interrupted: {error}")))?
    }

    async fn remove_image(self: &Arc<Self>, name: &str, force: bool) -> Result<Vec<ImageDeleteResponseItem>> {
        let image = self.find_image(name, None).await?;
        let id = image.id.to_string();
        let by_id = id.strip_prefix("sha256:").is_some_and(|digits| {
            let bare = name.strip_prefix("sha256:").unwrap_or(name);
            !bare.is_empty() && digits.starts_with(bare)
        });
        // With another name left, the image stays and nothing of it is in use's way.
        let goes = by_id || image.repo_tags.len() <= 1;
        let users = self.image_users().remove(&id).unwrap_or_default();
        if goes {
            refuse_in_use(name, &id, by_id, &users, force)?;
            let diff_ids: Vec<String> = image
                .layers
                .iter()
                .map(|layer| layer.diff_id.to_string())
                .collect();
            for machine in self.machines() {
                if let Some(guest) = machine.running() {
                    guest.unmap_layers(&diff_ids).await;
                }
            }
        }
        let (owned, inner) = (name.to_owned(), self.clone());
        let removals = self
            .blocking(move |inner| Ok(inner.store.remove(&owned, force)?))
            .await?;
        Ok(removals
            .into_iter()
            .map(|removal| match removal {
                Removal::Untagged(name) => {
                    inner.image_event("untag", &id, &name);
                    ImageDeleteResponseItem {
                        untagged: Some(name),
                        deleted: None,
                    }
                }
                Removal::Deleted(deleted) => {
                    if deleted == id {
                        inner.image_event("delete", &id, &deleted);
                    }
                    ImageDeleteResponseItem {
                        untagged: None,
                        deleted: Some(deleted),
                    }
                }
            })
            .collect())
    }

    fn image_event(&self, action: &str, id: &str, name: &str) {
        let attributes = HashMap::from([("name".to_owned(), name.to_owned())]);
        self.events
            .publish(EventMessageTypeEnum::IMAGE, action, id, attributes);
    }
}

/// Docker's refusals (moby `daemon/images/image_delete.go`). `force` overrides a stopped container, not a running one.
fn refuse_in_use(name: &str, id: &str, by_id: bool, users: &[(String, bool)], force: bool) -> Result<()> {
    let short = id
        .strip_prefix("sha256:")
        .unwrap_or(id)
        .get(..SHORT)
        .unwrap_or(id);
    let running = users.iter().find(|(_, running)| *running);
    let any = users.first();
    let message = match (by_id, running, any) {
        (true, Some((container, _)), _) => {
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {container}"
            )
        }
        (false, Some((container, _)), _) if !force => format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its \
             referenced image {short}"
        ),
        (false, Some((container, _)), _) => {
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container {container}"
            )
        }
        (true, None, Some((container, _))) if !force => {
            format!(
                "conflict: unable to delete {short} (must be forced) - image is being used by stopped container {container}"
            )
        }
        (false, None, Some((container, _))) if !force => format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its \
             referenced image {short}"
        ),
        _ => return Ok(()),
    };
    Err(EngineError::Conflict(message))
}

/// When an image was built, in nanoseconds since the Unix epoch; 0 where it does not say.
fn created(image: &Image) -> i64 {
    image
        .created
        .as_deref()
        .and_then(time::parse_rfc3339)
        .unwrap_or(0)
}

fn size(image: &Image) -> i64 {
    i64::try_from(image.size).unwrap_or(i64::MAX)
}

/// A pattern over `name`, `name:tag`, with `*` for anything but a slash, as Docker's `reference` filter has it.
fn reference_matches(tag: &str, pattern: &str) -> bool {
    let name = tag
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .map_or(tag, |(name, _)| name);
    glob(pattern.as_bytes(), tag.as_bytes()) || glob(pattern.as_bytes(), name.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // One row of the usual table: which lengths of `text` the pattern so far can match.
    let mut reach = vec![false; text.len().saturating_add(1)];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for symbol in pattern {
        let mut next = vec![false; reach.len()];
        let mut star = false;
        for (length, slot) in next.iter_mut().enumerate() {
            let here = reach.get(length).copied().unwrap_or(false);
            let before = length
                .checked_sub(1)
                .and_then(|before| Some((before, *text.get(before)?)));
            *slot = match symbol {
                b'*' => {
                    star = here || (star && before.is_some_and(|(_, byte)| byte != b'/'));
                    star
                }
                b'?' => before.is_some_and(|(before, byte)| byte != b'/' && reach.get(before) == Some(&true)),
                symbol => {
                    before.is_some_and(|(before, byte)| byte == *symbol && reach.get(before) == Some(&true))
                }
            };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

fn summary(image: &Image, containers: usize) -> ImageSummary {
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

fn inspect(image: &Image) -> ImageInspect {
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

fn history(image: &Image) -> Vec<ImageHistoryResponseItem> {
    let mut lengths = image
        .layers
        .iter()
        .map(|layer| i64::try_from(layer.length).unwrap_or(i64::MAX));
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
                lengths.next().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("alpine:latest", "alpine", true)]
    #[case("alpine:latest", "alpine:la*", true)]
    #[case("alpine:latest", "al?ine", true)]
    #[case("localhost:5000/a/b:1", "localhost:5000/*/b", true)]
    #[case("localhost:5000/a/b:1", "localhost:5000/*", false)]
    #[case("alpine:latest", "pine", false)]
    fn a_reference_pattern_matches_names_and_tags(
        #[case] tag: &str,
        #[case] pattern: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(reference_matches(tag, pattern), matches);
    }

    const ID: &str = "sha256:0123456789abcdef";

    #[rstest]
    #[case(
        true,
        true,
        true,
        Some(
            "unable to delete 0123456789ab (cannot be forced) - image is being used by running container c1"
        )
    )]
    #[case(
        true,
        false,
        false,
        Some("unable to delete 0123456789ab (must be forced) - image is being used by stopped container c1")
    )]
    #[case(true, false, true, None)]
    #[case(
        false,
        false,
        false,
        Some(
            "unable to remove repository reference \"alpine\" (must force) - container c1 is using its referenced image 0123456789ab"
        )
    )]
    #[case(false, true, true, Some("image is being used by running container c1"))]
    fn an_image_in_use_is_refused_in_dockers_words(
        #[case] by_id: bool,
        #[case] running: bool,
        #[case] force: bool,
        #[case] text: Option<&str>,
    ) {
        let result = refuse_in_use("alpine", ID, by_id, &[("c1".to_owned(), running)], force);
        match text {
            Some(text) => assert!(result.unwrap_err().to_string().contains(text)),
            None => result.unwrap(),
        }
    }

    #[test]
    fn an_unused_image_is_refused_never() {
        refuse_in_use("alpine", ID, false, &[], false).unwrap();
    }
}
