//! From a reference to an image in the store.
//!
//! Order of writes, so that a crash at any point loses nothing and leaves nothing half-made in use: each layer is
//! synced and renamed into place; only then one transaction adds config, image and names.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use crate::config::Credentials;
use crate::content::Draft;
use crate::database::{Blob, ImageRecord, LayerRecord};
use crate::digest::Digest;
use crate::error::{LayerError, StoreError};
use crate::event::{PullEvent, Pulled};
use crate::image::ConfigFile;
use crate::images;
use crate::layer::{Compression, LayerFiles, Source, ingest};
use crate::manifest::{Descriptor, Document, Index, Manifest};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{Access, Client, Download, Session, Step};
use crate::store::{Inner, Lease, blocking};

/// Progress is told once in this many bytes.
const PROGRESS_STEP: u64 = 512 << 10;
/// Pieces of a download on their way to the disk.
const FEED: usize = 32;

/// Pulls one image, and tells at the end what that changed.
pub(crate) async fn pull(
    store: &Arc<Inner>,
    reference: &Reference,
    platform: &Platform,
    credentials: Option<&Credentials>,
    progress: &mpsc::Sender<PullEvent>,
) -> Result<Pulled, StoreError> {
    let pulled = one(store, reference, platform, credentials, progress).await?;
    tell_outcome(progress, &reference.familiar(), pulled.newer).await;
    Ok(pulled)
}

/// Pulls every tag of a repository, one after the other, until one fails. What that changed is told once.
pub(crate) async fn pull_all(
    store: &Arc<Inner>,
    repository: &Reference,
    platform: &Platform,
    credentials: Option<&Credentials>,
    progress: &mpsc::Sender<PullEvent>,
) -> Result<Vec<Pulled>, StoreError> {
    let transport = store.transport().await?;
    let client = Client::new(&transport, &store.config, repository, Access::Pull, credentials)?;
    let mut all = Vec::new();
    for tag in client.tags().await? {
        let reference = repository.with_tag(&tag).map_err(|error| {
            StoreError::invalid(repository.familiar_name(), format!("its tag {tag:?}: {error}"))
        })?;
        all.push(one(store, &reference, platform, credentials, progress).await?);
    }
    let newer = all.iter().any(|pulled| pulled.newer);
    tell_outcome(progress, &repository.familiar_name(), newer).await;
    Ok(all)
}

async fn tell_outcome(progress: &mpsc::Sender<PullEvent>, subject: &str, newer: bool) {
    let what = if newer {
        "Downloaded newer image for"
    } else {
        "Image is up to date for"
    };
    tell(progress, PullEvent::Status(format!("{what} {subject}"))).await;
}

async fn one(
    store: &Arc<Inner>,
    reference: &Reference,
    platform: &Platform,
    credentials: Option<&Credentials>,
    progress: &mpsc::Sender<PullEvent>,
) -> Result<Pulled, StoreError> {
    let transport = store.transport().await?;
    let client = Client::new(&transport, &store.config, reference, Access::Pull, credentials)?;
    let subject = reference.familiar();
    let (fetched, session) = journey::measured(client.resolve(), |resolved| journey::Step::Resolved {
        registry: resolved.map_or_else(|| reference.domain().to_owned(), |(_, session)| session.host()),
        image: subject.clone(),
        digest: resolved.map_or_else(String::new, |(fetched, _)| fetched.digest.to_string()),
    })
    .await?;
    let pull = Pull {
        store,
        client: &client,
        session,
        progress,
        subject: &subject,
    };
    let tag = reference
        .digest()
        .map_or_else(|| reference.tag().unwrap_or_default(), Digest::as_str);
    tell(
        progress,
        PullEvent::Pulling {
            repository: reference.path().to_owned(),
            tag: tag.to_owned(),
        },
    )
    .await;
    let digest = fetched.digest;
    let (manifest, manifest_digest) = match Document::parse(&subject, &fetched.content_type, &fetched.bytes)?
    {
        Document::Manifest(manifest) => (manifest, digest.clone()),
        Document::Index(index) => {
            journey::measured(pull.choose(&index, platform), |chosen| {
                journey::Step::PlatformChosen {
                    platform: platform.to_string(),
                    offered: index.offered(),
                    digest: chosen.map_or_else(String::new, |(_, digest)| digest.to_string()),
                }
            })
            .await?
        }
    };
    let limits = &store.config.limits;
    manifest.check(&subject, limits)?;
    let config_bytes = journey::measured(
        client.blob(session, &manifest.config.digest, limits.config),
        |_| journey::Step::ConfigRead {
            digest: manifest.config.digest.to_string(),
            layers: manifest.layers.len(),
        },
    )
    .await?;
    let config = ConfigFile::parse(&config_bytes)
        .map_err(|error| StoreError::invalid(&subject, format!("its config is malformed: {error}")))?;
    let image_platform = if config.architecture.is_empty() {
        platform.clone()
    } else {
        config.platform()
    };
    if platform.distance(&image_platform).is_none() {
        let (found, wanted) = (image_platform.to_string(), platform.to_string());
        return Err(StoreError::OtherPlatform {
            reference: subject,
            found,
            wanted,
        });
    }
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let reason = format!(
            "its config tells of {} layers and its manifest of {}",
            diff_ids.len(),
            manifest.layers.len()
        );
        return Err(StoreError::invalid(&subject, reason));
    }
    let lease = store.lease(diff_ids.iter().cloned());
    let layers = pull.layers(&manifest, &diff_ids, &lease).await?;

    let id = manifest.config.digest;
    let record = ImageRecord {
        platform: image_platform,
        manifest: Some(manifest_digest),
        layers,
    };
    let by_digest = reference.with_digest(digest.clone());
    let mut names = vec![by_digest.to_string()];
    if reference.digest().is_none() {
        names.push(reference.to_string());
    }
    let newer = !images::has_names(store, &id, &record.platform, &names)?;
    let writer = Arc::clone(store);
    let image_id = id.clone();
    let writing = blocking(move || writer.database.put(&image_id, &config_bytes, &record, &names));
    journey::measured(writing, |_| journey::Step::ImageRecorded { id: id.to_string() }).await?;
    drop(lease);
    let image = images::by_id(store, &id)?;
    tell(progress, PullEvent::Digest(digest.clone())).await;
    Ok(Pulled { image, digest, newer })
}

struct Pull<'a> {
    store: &'a Arc<Inner>,
    client: &'a Client<'a>,
    session: &'a Session,
    progress: &'a mpsc::Sender<PullEvent>,
    subject: &'a str,
}

impl Pull<'_> {
    /// The manifest that an index has for a platform.
    async fn choose(&self, index: &Index, platform: &Platform) -> Result<(Manifest, Digest), StoreError> {
        let entry = index.choose(platform)?;
        let fetched = self
            .client
            .manifest_by_digest(self.session, &entry.digest)
            .await?;
        match Document::parse(self.subject, &entry.media_type, &fetched.bytes)? {
            Document::Manifest(manifest) => Ok((manifest, fetched.digest)),
            Document::Index(_) => Err(StoreError::invalid(
                self.subject,
                "its index leads to another index",
            )),
        }
    }

    async fn layers(
        &self,
        manifest: &Manifest,
        diff_ids: &[Digest],
        lease: &Arc<Lease>,
    ) -> Result<Vec<LayerRecord>, StoreError> {
        for layer in &manifest.layers {
            tell(
                self.progress,
                PullEvent::PullingFsLayer {
                    id: layer.digest.short().to_owned(),
                },
            )
            .await;
        }
        let layers = manifest.layers.iter().zip(diff_ids);
        let result = try_join_all(layers.map(|(layer, diff_id)| self.layer(layer, diff_id, lease))).await;
        if let Err(error) = &result {
            // The workers of the other layers have just lost their downloads. When the error is told, they are
            // done and their files are gone.
            for diff_id in diff_ids {
                drop(self.store.making(diff_id).lock_owned().await);
            }
            // What could be taken up again later takes the room that there is too little of.
            if matches!(error, StoreError::DiskFull(_)) {
                for layer in &manifest.layers {
                    self.store.content.remove_partial(&layer.digest)?;
                }
            }
        }
        result
    }

    async fn layer(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        lease: &Arc<Lease>,
    ) -> Result<LayerRecord, StoreError> {
        let id = layer.digest.short().to_owned();
        let making = self.store.making(diff_id);
        let _turn = match self.store.downloads.try_acquire() {
            Ok(turn) => turn,
            Err(_) => {
                tell(self.progress, PullEvent::Waiting { id: id.clone() }).await;
                self.store
                    .downloads
                    .acquire()
                    .await
                    .map_err(|_| StoreError::Interrupted)?
            }
        };
        let guard = Arc::new(making.lock_owned().await);
        if self.store.content.layer(diff_id).is_some() {
            let record = kept_layer(self.store, diff_id)?;
            journey::happened(|| journey::Step::LayerKept {
                digest: layer.digest.to_string(),
            });
            tell(self.progress, PullEvent::AlreadyExists { id }).await;
            return Ok(record);
        }
        let fetching = journey::begin();
        let mut result = self.fetch(layer, diff_id, &id, lease, Arc::clone(&guard)).await;
        if let Err((_, Resumed(true))) = &result {
            // What an earlier pull left was not what it seemed, as after a power cut. Once more from the start.
            result = self.fetch(layer, diff_id, &id, lease, guard).await;
        }
        let result = result.map_err(|(error, _)| error);
        fetching.ended(&result, || journey::Step::LayerPulled {
            digest: layer.digest.to_string(),
            bytes: layer.size,
        });
        let record = result?;
        tell(self.progress, PullEvent::PullComplete { id }).await;
        Ok(record)
    }

    /// Downloads and converts a layer. The error says whether bytes of an earlier pull were part of it.
    async fn fetch(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        id: &str,
        lease: &Arc<Lease>,
        guard: Arc<tokio::sync::OwnedMutexGuard<()>>,
    ) -> Result<LayerRecord, (StoreError, Resumed)> {
        let fresh = |error| (error, Resumed(false));
        let store = self.store;
        let partial = store.content.partial(&layer.digest).map_err(fresh)?;
        let mut offset = partial.metadata().map_err(|error| fresh(self.io(error)))?.len();
        if offset > layer.size {
            partial.set_len(0).map_err(|error| fresh(self.io(error)))?;
            offset = 0;
        }
        let draft = store.content.draft().map_err(fresh)?;
        let url = self.client.blob_url(self.session, &layer.digest).map_err(fresh)?;
        let (sender, feed) = mpsc::channel(FEED);
        let work = Work {
            store: Arc::clone(store),
            layer: layer.clone(),
            diff_id: diff_id.clone(),
            draft,
            source: Source::Download { partial, feed },
            _lease: Arc::clone(lease),
            _guard: guard,
        };
        let converting = blocking(move || Ok(work.run()));
        let download = Download {
            session: self.session,
            url,
            size: layer.size,
            patience: store.config.patience,
        };
        let downloading = async {
            let mut told = offset;
            let result = download
                .run(offset, sender, |step| match step {
                    Step::Moved(current) => {
                        if current >= told.saturating_add(PROGRESS_STEP) || current >= layer.size {
                            told = current;
                            let event = PullEvent::Downloading {
                                id: id.to_owned(),
                                current,
                                total: layer.size,
                            };
                            // A slow listener misses some of these.
                            let _ = self.progress.try_send(event);
                        }
                    }
                    Step::Retrying(seconds) => {
                        let _ = self.progress.try_send(PullEvent::Retrying {
                            id: id.to_owned(),
                            seconds,
                        });
                    }
                })
                .await;
            if result.is_ok() {
                tell(self.progress, PullEvent::Verifying { id: id.to_owned() }).await;
            }
            result
        };
        // The converter ends when the download does, well or not, so both are always waited for.
        let (downloaded, converted) = tokio::join!(downloading, converting);
        // A download that failed is the reason why the converter got no further.
        downloaded.map_err(fresh)?;
        let converted = converted.map_err(fresh)?;
        match converted {
            Ok(record) => {
                tell(self.progress, PullEvent::DownloadComplete { id: id.to_owned() }).await;
                let (current, total) = (layer.size, layer.size);
                tell(
                    self.progress,
                    PullEvent::Extracting {
                        id: id.to_owned(),
                        current,
                        total,
                    },
                )
                .await;
                Ok(record)
            }
            Err(error) => {
                let resumed =
                    offset > 0 && matches!(error, StoreError::Layer { .. } | StoreError::WrongDigest { .. });
                Err((error, Resumed(resumed)))
            }
        }
    }

    fn io(&self, error: std::io::Error) -> StoreError {
        StoreError::io(&self.store.config.root, error)
    }
}

/// Whether a download began with bytes of an earlier one.
struct Resumed(bool);

/// The part of a pull that blocks, with all that must outlive a cancelled pull.
struct Work {
    store: Arc<Inner>,
    layer: Descriptor,
    diff_id: Digest,
    draft: Draft,
    source: Source,
    _lease: Arc<Lease>,
    _guard: Arc<tokio::sync::OwnedMutexGuard<()>>,
}

impl Work {
    fn run(self) -> Result<LayerRecord, StoreError> {
        let promised = Some((&self.layer.digest, self.layer.size));
        let content = &self.store.content;
        let result = make_layer(&self.store, self.source, promised, &self.diff_id, self.draft);
        match &result {
            // Given up in the middle: the next pull goes on from there.
            Err(StoreError::Interrupted) => {}
            _ => content.remove_partial(&self.layer.digest)?,
        }
        result
    }
}

/// Converts a layer and puts it in its place, if it is what was promised.
pub(crate) fn make_layer(
    store: &Inner,
    source: Source,
    promised: Option<(&Digest, u64)>,
    diff_id: &Digest,
    draft: Draft,
) -> Result<LayerRecord, StoreError> {
    let name = promised.map_or(diff_id, |(digest, _)| digest);
    let failed = |reason| layer_error(store, name, reason);
    let (image, recipe) = draft.files().map_err(|error| failed(error.into()))?;
    let files = LayerFiles {
        image,
        recipe,
        folder: store.content.temporary(),
    };
    let (converted, compression) = ingest(source, promised, files, &store.config.limits).map_err(failed)?;
    if converted.diff_id != *diff_id {
        return Err(failed(LayerError::DiffId {
            wanted: diff_id.clone(),
            found: converted.diff_id,
        }));
    }
    store.content.commit(draft, &converted)?;
    let mut record = LayerRecord {
        diff_id: diff_id.clone(),
        size: converted.tar_length,
        content: Some(converted.content),
        blobs: Vec::new(),
    };
    // No media type tells of the others: a push compresses such a layer anew.
    let has_media_type = matches!(compression, Compression::Gzip | Compression::Zstd);
    if let Some((digest, size)) = promised.filter(|_| has_media_type) {
        record.note(Blob {
            digest: digest.clone(),
            size,
            compression,
        });
    }
    Ok(record)
}

/// A layer that is in the store. What a manifest tells of it now was not checked, so that is not taken over.
pub(crate) fn kept_layer(store: &Inner, diff_id: &Digest) -> Result<LayerRecord, StoreError> {
    let snapshot = store.database.snapshot()?;
    Ok(LayerRecord {
        diff_id: diff_id.clone(),
        size: store.content.archive(diff_id)?.length(),
        content: snapshot.content(diff_id),
        blobs: snapshot.blobs(diff_id),
    })
}

pub(crate) fn layer_error(store: &Inner, layer: &Digest, reason: LayerError) -> StoreError {
    match reason {
        LayerError::Io(error) => StoreError::io(&store.config.root, error),
        LayerError::GivenUp => StoreError::Interrupted,
        LayerError::Digest { wanted, found } => StoreError::WrongDigest {
            subject: format!("layer {}", layer.short()),
            wanted,
            found,
        },
        reason => StoreError::Layer {
            layer: layer.short().to_owned(),
            reason,
        },
    }
}

/// A listener that is gone does not stop a pull.
pub(crate) async fn tell(progress: &mpsc::Sender<PullEvent>, event: PullEvent) {
    let _ = progress.send(event).await;
}
