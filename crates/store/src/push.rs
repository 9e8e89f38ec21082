//! From the store to a registry (OCI distribution-spec 1.1, "Push"; manifests as Docker pushes them, image manifest
//! version 2 schema 2).
//!
//! A registry keeps layers compressed and the store does not. So a layer's archive is made again and compressed into a
//! file in `tmp`, for its digest and length have to be known before it is sent; unless the registry has the layer
//! already, in a form that an earlier pull or push has seen and checked.
//!
//! Layers and config come first, the manifest last: a registry takes it when it has all that it names, and until then
//! nobody sees anything of the push.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use futures_util::future::try_join_all;
use tempfile::NamedTempFile;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, mpsc};

use crate::config::Credentials;
use crate::database::{Blob, LayerRecord};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::event::PushEvent;
use crate::images;
use crate::layer::{Compression, compress};
use crate::manifest::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER,
    OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::platform::Platform;
use crate::pull::layer_error;
use crate::reference::Reference;
use crate::registry::{Access, Client, Content, Session, Step};
use crate::store::{Inner, Lease, blocking};

/// Progress is told once in this many bytes.
const PROGRESS_STEP: u64 = 512 << 10;

/// What to push.
#[derive(Clone, Debug)]
pub struct Push {
    /// Names the registry, the repository and, unless all are meant, the tag.
    pub reference: Reference,
    /// Every tag that the repository has here.
    pub all_tags: bool,
    /// Of a tag that names images of several platforms, the one for this platform; else for the default platform.
    pub platform: Option<Platform>,
}

pub(crate) async fn push(
    store: &Arc<Inner>,
    push: &Push,
    credentials: Option<&Credentials>,
    progress: &mpsc::Sender<PushEvent>,
) -> Result<(), StoreError> {
    let reference = &push.reference;
    let repository = reference.name();
    tell(progress, PushEvent::Refers { repository }).await;
    // All images are looked up before the registry is asked: a tag that is not there leaves no half push.
    let images = selected(store, push)?;
    let layers = images.iter().flat_map(|image| &image.layers);
    let lease = store.lease(layers.map(|layer| layer.diff_id.clone()));
    let transport = store.transport().await?;
    let client = Client::new(&transport, &store.config, reference, Access::Push, credentials)?;
    let pushing = Pushing {
        store,
        session: client.answering().await?,
        client: &client,
        progress,
        lease,
        workers: Arc::default(),
    };
    let mut result = Ok(());
    for image in &images {
        result = pushing.image(image).await;
        if result.is_err() {
            break;
        }
    }
    // The workers of layers that were given up have just been told. When the error is told, they are done and their
    // files are gone.
    drop(pushing.workers.write().await);
    result
}

/// An image and the tag that it is pushed as.
struct Selected {
    tag: Reference,
    id: Digest,
    config: Vec<u8>,
    layers: Vec<LayerRecord>,
}

fn selected(store: &Inner, push: &Push) -> Result<Vec<Selected>, StoreError> {
    let reference = &push.reference;
    let snapshot = store.database.snapshot()?;
    let own: BTreeSet<Reference> = snapshot
        .names
        .iter()
        .filter_map(|name| name.name.parse::<Reference>().ok())
        .filter(|name| name.name() == reference.name() && name.digest().is_none())
        .collect();
    if own.is_empty() {
        return Err(StoreError::NothingToPush(reference.familiar_name()));
    }
    let tags = if push.all_tags {
        own
    } else if reference.digest().is_some() {
        return Err(StoreError::PushByDigest(reference.familiar_name()));
    } else if own.contains(reference) {
        BTreeSet::from([reference.clone()])
    } else {
        return Err(StoreError::NoSuchTag(reference.familiar()));
    };
    let select = |tag: Reference| {
        let missing = || StoreError::NoSuchTag(tag.familiar());
        let image = images::find(store, &tag.to_string(), push.platform.as_ref())?;
        let record = snapshot.record(&image.id).ok_or_else(missing)?;
        Ok(Selected {
            config: store.database.config(&image.id)?.ok_or_else(missing)?,
            id: image.id,
            layers: record.layers.clone(),
            tag,
        })
    };
    tags.into_iter().map(select).collect()
}

struct Pushing<'a> {
    store: &'a Arc<Inner>,
    client: &'a Client<'a>,
    session: &'a Session,
    progress: &'a mpsc::Sender<PushEvent>,
    lease: Arc<Lease>,
    /// Held for reading by each worker and each of their files.
    workers: Arc<RwLock<()>>,
}

impl Pushing<'_> {
    async fn image(&self, image: &Selected) -> Result<(), StoreError> {
        // From the top, as Docker does it; a layer that comes twice is pushed once.
        let mut seen = BTreeSet::new();
        let layers: Vec<&LayerRecord> = image
            .layers
            .iter()
            .rev()
            .filter(|layer| seen.insert(&layer.diff_id))
            .collect();
        for layer in &layers {
            let id = layer.diff_id.short().to_owned();
            tell(self.progress, PushEvent::Preparing { id }).await;
        }
        let blobs = try_join_all(layers.iter().map(|layer| self.layer(&layer.diff_id))).await?;
        if !self.client.has_blob(self.session, &image.id).await? {
            let config = Content::of_bytes(image.config.clone());
            self.client
                .put_blob(self.session, &image.id, &config, |_| {})
                .await?;
        }
        let (media_type, manifest) = manifest(image, &blobs)?;
        let (digest, size) = (Digest::of(&manifest), manifest.len() as u64);
        let tag = image.tag.tag().unwrap_or_default().to_owned();
        let content = Content::of_bytes(manifest);
        self.client
            .put_manifest(self.session, (&tag, &digest), media_type, &content)
            .await?;
        let (store, id) = (Arc::clone(self.store), image.id.clone());
        let name = image.tag.with_digest(digest.clone()).to_string();
        blocking(move || store.database.pushed(&id, &blobs, &name)).await?;
        tell(self.progress, PushEvent::Tagged { tag, digest, size }).await;
        Ok(())
    }

    /// Sees to it that the registry has a layer, and tells as what.
    async fn layer(&self, diff_id: &Digest) -> Result<(Digest, Blob), StoreError> {
        let id = diff_id.short().to_owned();
        let uploads = &self.store.uploads;
        let _turn = match uploads.try_acquire() {
            Ok(turn) => turn,
            Err(_) => {
                tell(self.progress, PushEvent::Waiting { id: id.clone() }).await;
                uploads.acquire().await.map_err(|_| StoreError::Interrupted)?
            }
        };
        let known = self.store.database.snapshot()?.blobs(diff_id);
        for blob in &known {
            if self.client.has_blob(self.session, &blob.digest).await? {
                tell(self.progress, PushEvent::AlreadyExists { id }).await;
                return Ok((diff_id.clone(), blob.clone()));
            }
        }
        let spool = self.spool(diff_id).await?;
        let blob = spool.blob.clone();
        let asked = known.iter().any(|known| known.digest == blob.digest);
        if !asked && self.client.has_blob(self.session, &blob.digest).await? {
            tell(self.progress, PushEvent::AlreadyExists { id }).await;
            return Ok((diff_id.clone(), blob));
        }
        let content = Content::of_file(&spool.file, blob.size);
        let mut told = 0_u64;
        let tell_step = |step| {
            let event = match step {
                Step::Moved(current)
                    if current < blob.size && current < told.saturating_add(PROGRESS_STEP) =>
                {
                    return;
                }
                Step::Moved(current) => {
                    told = current;
                    PushEvent::Pushing {
                        id: id.clone(),
                        current,
                        total: blob.size,
                    }
                }
                Step::Retrying(seconds) => {
                    told = 0;
                    PushEvent::Retrying {
                        id: id.clone(),
                        seconds,
                    }
                }
            };
            // A slow listener misses some of these.
            let _ = self.progress.try_send(event);
        };
        self.client
            .put_blob(self.session, &blob.digest, &content, tell_step)
            .await?;
        tell(self.progress, PushEvent::Pushed { id }).await;
        Ok((diff_id.clone(), blob))
    }

    /// Compresses a layer into a file. A push that is given up ends the work and removes the file.
    async fn spool(&self, diff_id: &Digest) -> Result<Spool, StoreError> {
        let wanted = Arc::new(());
        let work = Work {
            store: Arc::clone(self.store),
            diff_id: diff_id.clone(),
            wanted: Arc::downgrade(&wanted),
            working: Arc::clone(&self.workers)
                .try_read_owned()
                .map_err(|_| StoreError::Interrupted)?,
            _lease: Arc::clone(&self.lease),
        };
        let spool = blocking(move || work.run()).await;
        drop(wanted);
        spool
    }
}

/// A compressed layer. The file goes when this does.
struct Spool {
    file: NamedTempFile,
    blob: Blob,
    /// After the file, for whoever waits for this waits for the file to be gone.
    _working: OwnedRwLockReadGuard<()>,
}

/// The part of a push that blocks, with all that must outlive a cancelled push.
struct Work {
    store: Arc<Inner>,
    diff_id: Digest,
    wanted: Weak<()>,
    working: OwnedRwLockReadGuard<()>,
    _lease: Arc<Lease>,
}

impl Work {
    fn run(self) -> Result<Spool, StoreError> {
        let content = &self.store.content;
        let archive = content.archive(&self.diff_id)?;
        let file = content.scratch()?;
        let handle = file
            .reopen()
            .map_err(|error| StoreError::io(file.path(), error))?;
        let compressed = compress(archive, handle, &self.wanted)
            .map_err(|reason| layer_error(&self.store, &self.diff_id, reason))?;
        if compressed.diff_id != self.diff_id {
            let subject = format!("layer {}", self.diff_id.short());
            let reason = "its copy on this computer is damaged: remove the image and pull it again";
            return Err(StoreError::invalid(subject, reason));
        }
        Ok(Spool {
            file,
            blob: Blob {
                digest: compressed.digest,
                size: compressed.size,
                compression: Compression::Gzip,
            },
            _working: self.working,
        })
    }
}

/// The manifest and its media type: Docker's own, which every registry takes, unless a layer is of a kind that only
/// OCI knows.
fn manifest(image: &Selected, blobs: &[(Digest, Blob)]) -> Result<(&'static str, Vec<u8>), StoreError> {
    let oci = blobs
        .iter()
        .any(|(_, blob)| blob.compression != Compression::Gzip);
    let layer = |layer: &LayerRecord| {
        let (_, blob) = blobs
            .iter()
            .find(|(diff_id, _)| *diff_id == layer.diff_id)
            .ok_or(StoreError::Interrupted)?;
        let media_type = match blob.compression {
            Compression::Gzip if oci => OCI_LAYER_GZIP,
            Compression::Gzip => DOCKER_LAYER_GZIP,
            Compression::Zstd => OCI_LAYER_ZSTD,
            // Never noted of a blob.
            Compression::None | Compression::Bzip2 | Compression::Xz => OCI_LAYER,
        };
        Ok(Descriptor::new(media_type, blob.digest.clone(), blob.size))
    };
    let (media_type, config) = if oci {
        (OCI_MANIFEST, OCI_CONFIG)
    } else {
        (DOCKER_MANIFEST, DOCKER_CONFIG)
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type.to_owned(),
        config: Descriptor::new(config, image.id.clone(), image.config.len() as u64),
        layers: image
            .layers
            .iter()
            .map(layer)
            .collect::<Result<_, StoreError>>()?,
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|error| {
        StoreError::invalid(
            image.tag.familiar(),
            format!("its manifest cannot be written: {error}"),
        )
    })?;
    Ok((media_type, bytes))
}

/// A listener that is gone does not stop a push.
async fn tell(progress: &mpsc::Sender<PushEvent>, event: PushEvent) {
    let _ = progress.send(event).await;
}
