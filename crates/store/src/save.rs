//! `save`: one tar archive that is an OCI image layout and a docker-archive at once, as Docker's own is.
//!
//! Layers are written uncompressed, made again from image and recipe, so their digests are their diff IDs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::database::LayerRecord;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::images;
use crate::manifest::{
    Descriptor, Index, IndexPlatform, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Inner, blocking};

/// Bytes that are handed to the async side at once, and how many such pieces may wait.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 4;

pub(crate) async fn save(
    store: &Arc<Inner>,
    names: &[String],
    platforms: &[Platform],
    mut out: impl AsyncWrite + Unpin + Send,
) -> Result<(), StoreError> {
    // All names are looked up before the first byte: an unknown one leaves no half archive.
    let images = selected(store, names, platforms)?;
    let lease = store.lease(
        images
            .iter()
            .flat_map(|image| &image.layers)
            .map(|layer| layer.diff_id.clone()),
    );
    let (sender, mut receiver) = mpsc::channel::<Bytes>(CHUNKS);
    let writer = Arc::clone(store);
    let writing = blocking(move || {
        let _lease = lease;
        let result = write(
            &writer,
            &images,
            Chunks {
                sender,
                pending: Vec::with_capacity(CHUNK),
            },
        );
        result.map_err(|error| StoreError::io(&writer.config.root, error))
    });
    let sending = async {
        while let Some(bytes) = receiver.recv().await {
            out.write_all(&bytes).await?;
        }
        out.flush().await
    };
    tokio::pin!(writing);
    let (written, sent) = {
        tokio::pin!(sending);
        tokio::select! {
            // The reader of the archive is gone: so is the writer, at its next piece.
            sent = &mut sending => (None, sent),
            written = &mut writing => (Some(written), sending.await),
        }
    };
    drop(receiver);
    let sent = sent.map_err(|error| StoreError::io("the saved archive", error));
    match written {
        Some(written) => written.and(sent),
        None => {
            let written = writing.await;
            sent.and(written)
        }
    }
}

struct Selected {
    id: Digest,
    platform: Platform,
    config: Vec<u8>,
    layers: Vec<LayerRecord>,
    tags: BTreeSet<Reference>,
}

fn selected(store: &Inner, names: &[String], platforms: &[Platform]) -> Result<Vec<Selected>, StoreError> {
    let snapshot = store.database.snapshot()?;
    let mut selected: Vec<Selected> = Vec::new();
    let wanted: Vec<Option<&Platform>> = match platforms {
        [] => vec![None],
        platforms => platforms.iter().map(Some).collect(),
    };
    let each = names
        .iter()
        .flat_map(|name| wanted.iter().map(move |platform| (name, *platform)));
    for (name, platform) in each {
        let image = images::find(store, name, platform)?;
        let record = snapshot
            .record(&image.id)
            .ok_or_else(|| StoreError::NoSuchImage(name.clone()))?;
        let tag = name.parse::<Reference>().ok().filter(|reference| {
            reference.digest().is_none() && image.repo_tags.contains(&reference.familiar())
        });
        match selected.iter_mut().find(|selected| selected.id == image.id) {
            Some(selected) => selected.tags.extend(tag),
            None => selected.push(Selected {
                config: store
                    .database
                    .config(&image.id)?
                    .ok_or_else(|| StoreError::NoSuchImage(name.clone()))?,
                id: image.id,
                platform: image.platform,
                layers: record.layers.clone(),
                tags: tag.into_iter().collect(),
            }),
        }
    }
    Ok(selected)
}

fn write(store: &Inner, images: &[Selected], out: Chunks) -> io::Result<()> {
    let mut archive = Archive {
        tar: tar::Builder::new(out),
        written: BTreeSet::new(),
    };
    let mut index = Index {
        schema_version: 2,
        media_type: OCI_INDEX.to_owned(),
        manifests: Vec::new(),
    };
    let mut items = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    for image in images {
        for layer in &image.layers {
            let reader = store.content.archive(&layer.diff_id).map_err(io::Error::other)?;
            archive.blob(&layer.diff_id, reader.length(), reader)?;
        }
        archive.blob(&image.id, image.config.len() as u64, image.config.as_slice())?;
        let manifest = serde_json::to_vec(&manifest(image))?;
        let descriptor = Descriptor::new(OCI_MANIFEST, Digest::of(&manifest), manifest.len() as u64);
        archive.blob(&descriptor.digest, descriptor.size, manifest.as_slice())?;
        let platform = IndexPlatform {
            os: image.platform.os.clone(),
            architecture: image.platform.architecture.clone(),
            variant: image.platform.variant.clone(),
        };
        let descriptor = Descriptor {
            platform: Some(platform),
            ..descriptor
        };
        if image.tags.is_empty() {
            index.manifests.push(descriptor.clone());
        }
        for tag in &image.tags {
            let short = tag.tag().unwrap_or_default().to_owned();
            let annotations = BTreeMap::from([
                ("io.containerd.image.name".to_owned(), tag.to_string()),
                ("org.opencontainers.image.ref.name".to_owned(), short.clone()),
            ]);
            index.manifests.push(Descriptor {
                annotations: Some(annotations),
                ..descriptor.clone()
            });
            let top = image
                .layers
                .last()
                .map_or_else(|| image.id.hex(), |layer| layer.diff_id.hex());
            repositories
                .entry(tag.familiar_name())
                .or_default()
                .insert(short, top.to_owned());
        }
        items.push(json!({
            "Config": blob(&image.id),
            "RepoTags": image.tags.iter().map(Reference::familiar).collect::<Vec<_>>(),
            "Layers": image.layers.iter().map(|layer| blob(&layer.diff_id)).collect::<Vec<_>>(),
        }));
    }
    archive.file("index.json", &serde_json::to_vec(&index)?)?;
    archive.file("manifest.json", &serde_json::to_vec(&items)?)?;
    archive.file("repositories", &serde_json::to_vec(&repositories)?)?;
    archive.tar.into_inner()?.flush()
}

fn manifest(image: &Selected) -> Manifest {
    let layers = image
        .layers
        .iter()
        .map(|layer| Descriptor::new(OCI_LAYER, layer.diff_id.clone(), layer.size));
    Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: Descriptor::new(OCI_CONFIG, image.id.clone(), image.config.len() as u64),
        layers: layers.collect(),
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

struct Archive {
    tar: tar::Builder<Chunks>,
    /// Blobs that are in the archive already; images share layers.
    written: BTreeSet<Digest>,
}

impl Archive {
    fn blob(&mut self, digest: &Digest, length: u64, content: impl Read) -> io::Result<()> {
        if self.written.insert(digest.clone()) {
            self.append(&blob(digest), length, content)
        } else {
            Ok(())
        }
    }

    fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.append(name, content.len() as u64, content)
    }

    fn append(&mut self, name: &str, length: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(length);
        header.set_mode(0o644);
        self.tar.append_data(&mut header, name, content)
    }
}

/// Hands what is written to the async side.
struct Chunks {
    sender: mpsc::Sender<Bytes>,
    pending: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK));
        self.sender
            .blocking_send(bytes.into())
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
