//! The store: one folder, one process.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};

use crate::config::{Credentials, StoreConfig};
use crate::content::Content;
use crate::database::Database;
use crate::digest::Digest;
use crate::distribution::{self, Distribution};
use crate::error::StoreError;
use crate::event::{DiskUsage, Loaded, PullEvent, Pulled, PushEvent, Removal};
use crate::image::Image;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{self, Found, Transport};
use crate::{Checkup, Composition, Push, check, compose, images, load, pull, push, save};

/// Layers that are fetched at the same time, as in Docker.
const PARALLEL_LAYERS: usize = 3;
/// Layers that are pushed at the same time, as in Docker.
const PARALLEL_UPLOADS: usize = 5;

/// Images on the host. Clones share one open store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: StoreConfig,
    pub(crate) content: Content,
    pub(crate) database: Database,
    pub(crate) downloads: Semaphore,
    pub(crate) uploads: Semaphore,
    transport: OnceLock<Transport>,
    /// Layers that somebody is bringing in or is about to name; they are not garbage.
    leases: Mutex<HashMap<Digest, usize>>,
    /// One lock for each layer that is being made.
    making: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    /// Held as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store, or makes it. Takes an exclusive lock on the folder and throws out half-made files. Blocks
    /// on file I/O.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let root = &config.root;
        std::fs::create_dir_all(root).map_err(|error| StoreError::io(root, error))?;
        let lock_path = root.join("lock");
        let lock = File::create(&lock_path).map_err(|error| StoreError::io(&lock_path, error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Locked(root.clone()),
            TryLockError::Error(error) => StoreError::io(&lock_path, error),
        })?;
        let content = Content::open(root)?;
        let database = Database::open(&root.join("images.redb"))?;
        content.forget_old_layers(&database.snapshot()?.layers())?;
        let inner = Inner {
            content,
            database,
            downloads: Semaphore::new(PARALLEL_LAYERS),
            uploads: Semaphore::new(PARALLEL_UPLOADS),
            transport: OnceLock::new(),
            leases: Mutex::default(),
            making: Mutex::default(),
            config,
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Brings the image behind `reference` for `platform` into the store and names it. Dropping the future
    /// cancels the pull; what was downloaded is taken up again by the next pull.
    pub async fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        credentials: Option<&Credentials>,
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<Pulled, StoreError> {
        pull::pull(&self.inner, reference, platform, credentials, &progress).await
    }

    /// Pulls every tag that a repository has for a platform, in the registry's order; the tag of `repository` is not
    /// looked at. The first that fails ends it; those before it stay.
    pub async fn pull_all(
        &self,
        repository: &Reference,
        platform: &Platform,
        credentials: Option<&Credentials>,
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<Vec<Pulled>, StoreError> {
        pull::pull_all(&self.inner, repository, platform, credentials, &progress).await
    }

    /// Asks a registry, by its address as a person writes it, whether it takes these credentials.
    pub async fn log_in(&self, server: &str, credentials: &Credentials) -> Result<(), StoreError> {
        let transport = self.inner.transport().await?;
        registry::log_in(&transport, &self.inner.config, server, credentials).await
    }

    /// What a registry has under a reference, of which nothing is kept.
    pub async fn distribution(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Distribution, StoreError> {
        distribution::inspect(&self.inner, reference, credentials).await
    }

    /// At most `limit` repositories that Docker Hub finds by a term, or the registry that the term begins with.
    pub async fn search(
        &self,
        term: &str,
        limit: usize,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Found>, StoreError> {
        let transport = self.inner.transport().await?;
        registry::search(&transport, &self.inner.config, term, limit, credentials).await
    }

    /// Brings images to the registry of their name. Dropping the future cancels the push; what the registry has got by
    /// then it keeps.
    pub async fn push(
        &self,
        push: &Push,
        credentials: Option<&Credentials>,
        progress: mpsc::Sender<PushEvent>,
    ) -> Result<(), StoreError> {
        push::push(&self.inner, push, credentials, &progress).await
    }

    /// The image of a name, a name with digest, an ID or the start of an ID. Without a platform the default
    /// platform is preferred. Blocks on file I/O for a short time.
    pub fn find(&self, name_or_id: &str, platform: Option<&Platform>) -> Result<Image, StoreError> {
        images::find(&self.inner, name_or_id, platform)
    }

    /// All images, newest first.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        images::list(&self.inner)
    }

    /// Gives the image one more name, taking the name from the image of the same platform that had it.
    pub fn tag(&self, image_id: &str, target: &Reference) -> Result<(), StoreError> {
        images::tag(&self.inner, image_id, target)
    }

    /// Takes a name off an image, or removes the image with its last name; layers that no image needs are deleted
    /// at once. With an ID, `force` removes an image that has several names. Whether a container uses the image
    /// is the caller's to know. With `platforms`, the name stays with its images of others.
    pub fn remove(
        &self,
        name_or_id: &str,
        platforms: &[Platform],
        force: bool,
    ) -> Result<Vec<Removal>, StoreError> {
        images::remove(&self.inner, name_or_id, platforms, force)
    }

    /// Takes in a docker-archive or oci-archive, plain or compressed with gzip or zstd; with `platforms`, its images
    /// of those alone.
    pub async fn load(
        &self,
        archive: impl AsyncRead + Unpin + Send,
        platforms: &[Platform],
        progress: mpsc::Sender<PullEvent>,
    ) -> Result<Vec<Loaded>, StoreError> {
        load::load(&self.inner, archive, platforms, &progress).await
    }

    /// Makes an image of a layer's tar, on top of another image or alone, and returns its ID.
    pub async fn compose(
        &self,
        layer: impl AsyncRead + Unpin + Send,
        composition: Composition,
    ) -> Result<Digest, StoreError> {
        compose::compose(&self.inner, layer, composition).await
    }

    /// Writes images as one tar archive that is an OCI layout and a docker-archive at once: of each name the image
    /// of each of `platforms`, or of the default one.
    pub async fn save(
        &self,
        names: &[String],
        platforms: &[Platform],
        out: impl AsyncWrite + Unpin + Send,
    ) -> Result<(), StoreError> {
        save::save(&self.inner, names, platforms, out).await
    }

    /// The IDs of all images.
    pub fn ids(&self) -> Result<Vec<Digest>, StoreError> {
        let images = self.inner.database.snapshot()?.images;
        Ok(images.into_iter().map(|(id, _)| id).collect())
    }

    /// Whether every image has what it needs, and what is left over. Blocks on file I/O.
    pub fn check(&self) -> Result<Checkup, StoreError> {
        check::check(&self.inner)
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// What the store takes on disk.
    pub fn disk_usage(&self) -> Result<DiskUsage, StoreError> {
        images::disk_usage(&self.inner)
    }
}

impl Inner {
    /// The way to registries, made when it is first needed.
    pub(crate) async fn transport(self: &Arc<Self>) -> Result<Transport, StoreError> {
        if let Some(transport) = self.transport.get() {
            return Ok(transport.clone());
        }
        let patience = self.config.patience;
        let transport = blocking(move || Transport::new(&patience)).await?;
        Ok(self.transport.get_or_init(|| transport).clone())
    }

    /// Keeps layers from being collected, whether they are there already or not.
    pub(crate) fn lease(self: &Arc<Self>, diff_ids: impl Iterator<Item = Digest>) -> Arc<Lease> {
        let diff_ids: Vec<Digest> = diff_ids.collect();
        let mut leases = locked(&self.leases);
        for diff_id in &diff_ids {
            *leases.entry(diff_id.clone()).or_default() += 1;
        }
        Arc::new(Lease {
            inner: Arc::clone(self),
            diff_ids,
        })
    }

    /// Deletes layers that no image and no lease needs.
    pub(crate) fn collect(&self) -> Result<(), StoreError> {
        // Held to the end: nobody can lease a layer between the look and the deletion.
        let leases = locked(&self.leases);
        let needed = self.database.snapshot()?.layers();
        let unneeded = self.content.all()?.into_iter();
        let mut unneeded = unneeded.filter(|layer| !needed.contains(layer) && !leases.contains_key(layer));
        unneeded.try_for_each(|layer| self.content.delete(&layer))
    }

    /// The lock of one layer: whoever holds it makes the layer.
    pub(crate) fn making(&self, diff_id: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut making = locked(&self.making);
        making.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = making.get(diff_id).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        making.insert(diff_id.clone(), Arc::downgrade(&lock));
        lock
    }
}

/// Layers that are spoken for. When it ends, those that did not become part of an image are deleted.
#[derive(Debug)]
pub(crate) struct Lease {
    inner: Arc<Inner>,
    diff_ids: Vec<Digest>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        {
            let mut leases = locked(&self.inner.leases);
            for diff_id in &self.diff_ids {
                if let Some(count) = leases.get_mut(diff_id) {
                    *count -= 1;
                    if *count == 0 {
                        leases.remove(diff_id);
                    }
                }
            }
        }
        if let Err(error) = self.inner.collect() {
            tracing::warn!(%error, "unneeded layers could not be deleted");
        }
    }
}

/// A lock whose holder never leaves half a change behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Interrupted)?
}
