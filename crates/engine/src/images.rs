//! Images: the store's, with what containers have to say about them.

mod changes;
mod in_use;
mod make;
mod pattern;
mod remote;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use bollard_stubs::models::{
    EventMessageTypeEnum, ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect,
    ImagePruneResponse, ImageSummary,
};
use store::{
    Credentials, Image, Loaded, Platform, PullEvent, Push, PushEvent, Reference, Removal, StoreError,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::filters::Filters;
use crate::names;
use in_use::refuse_in_use;
pub use make::CommitOptions;
use pattern::reference_matches;
use view::{history, inspect, summary};

const KNOWN: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];

impl Engine {
    /// Pulls an image. `reference` is as the user wrote it; without a platform the default machine's is
    /// meant. Progress ends when the sender is dropped, on return. Dropping the future cancels the pull.
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

    /// Pulls every tag of a repository, one after the other; the first that fails ends it. Otherwise as
    /// [`Engine::pull_image`].
    pub async fn pull_repository(
        &self,
        name: &str,
        platform: Option<&Platform>,
        credentials: Option<&Credentials>,
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<()> {
        let repository: Reference = name.parse().map_err(StoreError::from)?;
        let default = Platform::linux(self.inner.config.architecture);
        let platform = platform.unwrap_or(&default);
        self.inner
            .store
            .pull_all(&repository, platform, credentials, progress)
            .await?;
        let name = repository.familiar_name();
        self.inner.image_event("pull", &name, &name);
        Ok(())
    }

    /// Pushes the image of a tag; with neither a tag nor one in the name, those of all tags of the repository. Progress
    /// ends when the sender is dropped, on return. Dropping the future cancels the push.
    pub async fn push_image(
        &self,
        name: &str,
        tag: Option<&str>,
        platform: Option<&Platform>,
        credentials: Option<&Credentials>,
        progress: mpsc::Sender<PushEvent>,
    ) -> Result<()> {
        let push = to_push(name, tag, platform)?;
        self.inner.store.push(&push, credentials, progress).await?;
        let shown = if push.all_tags {
            push.reference.familiar_name()
        } else {
            push.reference.familiar()
        };
        self.inner.image_event("push", &shown, &shown);
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
            let used = inner.users_of_images();
            let created = |name: &str| -> Result<Option<i64>> {
                let Some(name) = filters.values(name).last() else {
                    return Ok(None);
                };
                Ok(Some(view::created(&inner.store.find(name, None)?)))
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
                    let time = view::created(image);
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
    pub async fn inspect_image(&self, name: &str, platform: Option<&Platform>) -> Result<ImageInspect> {
        Ok(inspect(&self.inner.find_image(name, platform).await?))
    }

    /// How an image was built, newest step first.
    pub async fn image_history(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<ImageHistoryResponseItem>> {
        Ok(history(&self.inner.find_image(name, platform).await?))
    }

    /// Takes a name off an image, and removes it with its last name. Refused while a container uses it: by a
    /// running one always, by a stopped one unless forced. With `platforms`, only their images lose the name.
    pub async fn remove_image(
        &self,
        name: &str,
        platforms: &[Platform],
        force: bool,
        noprune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let _ = noprune;
        let inner = self.inner.clone();
        let name = name.to_owned();
        let force = Force {
            names: force,
            users: force,
        };
        let platforms = platforms.to_vec();
        self.complete(async move { inner.remove_image(&name, &platforms, force).await })
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

    /// Takes in the images of an archive, those of `platforms` if any are given. Dropping the future cancels it; whole images stay.
    pub async fn load_images(
        &self,
        archive: impl AsyncRead + Unpin + Send,
        platforms: &[Platform],
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<Vec<Loaded>> {
        let loaded = self.inner.store.load(archive, platforms, progress).await?;
        for image in &loaded {
            let name = match image {
                Loaded::Reference(name) => name.clone(),
                Loaded::Id(id) => id.to_string(),
            };
            self.inner.image_event("load", &name, &name);
        }
        Ok(loaded)
    }

    /// Writes images as one archive, those of `platforms` if any are given.
    pub async fn save_images(
        &self,
        names: &[String],
        platforms: &[Platform],
        out: impl AsyncWrite + Unpin + Send,
    ) -> Result<()> {
        self.inner.store.save(names, platforms, out).await?;
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
            let used = inner.users_of_images();
            let mut deleted = Vec::new();
            for image in inner.blocking(|inner| Ok(inner.store.list()?)).await? {
                let label = |name: &str| image.config.labels.get(name).map(String::as_str);
                let wanted = !used.contains_key(&image.id.to_string())
                    && (!dangling || image.repo_tags.is_empty())
                    && until.is_none_or(|until| view::created(&image) < until)
                    && filters.labels_match("label", label)
                    && (!filters.has("label!") || !filters.labels_match("label!", label));
                // A container may have been made of it meanwhile.
                let force = Force {
                    names: true,
                    users: false,
                };
                if wanted && let Ok(removed) = inner.remove_image(&image.id.to_string(), &[], force).await {
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

/// What a removal of an image may pass over.
#[derive(Clone, Copy, Debug)]
struct Force {
    /// Its names in several repositories.
    names: bool,
    /// Containers of it that do not run.
    users: bool,
}

impl Inner {
    /// Finds an image by name or ID.
    pub(crate) async fn find_image(&self, name: &str, platform: Option<&Platform>) -> Result<Image> {
        // The store answers from its database's cache; this is shorter than a switch to another thread.
        Ok(self.store.find(name, platform)?)
    }

    /// The image that a name or an ID finds on the first of these platforms that has one. If none has, the first's error.
    fn find_image_among(&self, name: &str, platforms: &[Platform]) -> Result<Image> {
        let first = self.store.find(name, platforms.first());
        let found = platforms.iter().skip(1).fold(first, |found, platform| {
            found.or_else(|error| self.store.find(name, Some(platform)).map_err(|_| error))
        });
        Ok(found?)
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
    fn users_of_images(&self) -> HashMap<String, Vec<(String, bool)>> {
        let mut users: HashMap<String, Vec<(String, bool)>> = HashMap::new();
        for container in self.registry.all() {
            let (image, running) =
                container.with_record(|record| (record.image_id.clone(), record.state.phase.is_active()));
            users
                .entry(image)
                .or_default()
                .push((names::short(&container.id).to_owned(), running));
        }
        users
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

    async fn remove_image(
        self: &Arc<Self>,
        name: &str,
        platforms: &[Platform],
        force: Force,
    ) -> Result<Vec<ImageDeleteResponseItem>> {
        let _removing = self.image_users.write().await;
        let image = self.find_image_among(name, platforms)?;
        let id = image.id.to_string();
        let by_id = id.strip_prefix("sha256:").is_some_and(|digits| {
            let bare = name.strip_prefix("sha256:").unwrap_or(name);
            !bare.is_empty() && digits.starts_with(bare)
        });
        let going = self.going_with(name, image, platforms, by_id).await?;
        let mut users = self.users_of_images();
        for image in &going {
            let id = image.id.to_string();
            refuse_in_use(
                name,
                &id,
                by_id,
                &users.remove(&id).unwrap_or_default(),
                force.users,
            )?;
        }
        let layers = going.iter().flat_map(|image| &image.layers);
        let diff_ids: Vec<String> = layers.map(|layer| layer.diff_id.to_string()).collect();
        for machine in self.machines() {
            if let Some(guest) = machine.running() {
                guest.unmap_layers(&diff_ids).await;
            }
        }
        let (owned, platforms, inner) = (name.to_owned(), platforms.to_vec(), self.clone());
        let removals = self
            .blocking(move |inner| Ok(inner.store.remove(&owned, &platforms, force.names)?))
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
                    if going.iter().any(|image| image.id.to_string() == deleted) {
                        inner.image_event("delete", &deleted, &deleted);
                    }
                    ImageDeleteResponseItem {
                        untagged: None,
                        deleted: Some(deleted),
                    }
                }
            })
            .collect())
    }

    /// The images that go when this name is taken away: a name can be that of one image for each platform,
    /// and an image with another name stays.
    async fn going_with(
        self: &Arc<Self>,
        name: &str,
        found: Image,
        platforms: &[Platform],
        by_id: bool,
    ) -> Result<Vec<Image>> {
        let tag = name
            .parse::<Reference>()
            .map(|reference| reference.familiar())
            .unwrap_or_default();
        if by_id || !found.repo_tags.contains(&tag) {
            return Ok(Some(found)
                .filter(|found| by_id || found.repo_tags.len() <= 1)
                .into_iter()
                .collect());
        }
        let images = self.blocking(|inner| Ok(inner.store.list()?)).await?;
        Ok(images
            .into_iter()
            .filter(|image| image.repo_tags == [tag.as_str()])
            .filter(|image| image.platform.is_among(platforms))
            .collect())
    }

    fn image_event(&self, action: &str, id: &str, name: &str) {
        let attributes = HashMap::from([("name".to_owned(), name.to_owned())]);
        self.events
            .publish(EventMessageTypeEnum::IMAGE, action, id, attributes);
    }
}

/// What a client means by a name and perhaps a tag of its own, which counts for more than one in the name.
fn to_push(name: &str, tag: Option<&str>, platform: Option<&Platform>) -> Result<Push> {
    let reference: Reference = name.parse().map_err(StoreError::from)?;
    let (reference, all_tags) = match (tag, reference.digest(), reference.tag()) {
        (Some(tag), ..) => (reference.with_tag(tag).map_err(StoreError::from)?, false),
        // A name without a tag was completed with `latest`.
        (None, None, Some(tag)) => {
            let all_tags = !name.ends_with(&format!(":{tag}"));
            (reference, all_tags)
        }
        _ => (reference, false),
    };
    Ok(Push {
        reference,
        all_tags,
        platform: platform.cloned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_without_a_tag_means_all_of_them() {
        let meant = |name, tag| {
            let push = to_push(name, tag, None).unwrap();
            (push.reference.familiar(), push.all_tags)
        };
        assert_eq!(meant("app", None), ("app:latest".to_owned(), true));
        assert_eq!(
            meant("localhost:5000/app", None),
            ("localhost:5000/app:latest".to_owned(), true)
        );
        assert_eq!(meant("app:latest", None), ("app:latest".to_owned(), false));
        assert_eq!(meant("app", Some("latest")), ("app:latest".to_owned(), false));
        assert_eq!(meant("app:1", Some("2")), ("app:2".to_owned(), false));
        assert!(to_push("app", Some("a b"), None).is_err());
        assert!(to_push("UPPER", None, None).is_err());
    }
}
