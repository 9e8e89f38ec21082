//! `load`: archives that `save` of Docker, Podman, skopeo, buildx or sampan made.
//!
//! A *docker-archive* has `manifest.json`, which names config and layer files and tags; an *oci-archive* is an OCI
//! image layout (image-spec, `image-layout.md`) in a tar. Newer Docker archives are both; `manifest.json` is
//! preferred, for it has the tags. Either can come at the end, so the archive is kept in a file without a name
//! first and read by position from there. Names within it are only ever looked up, never opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use serde::Deserialize;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::database::{ImageRecord, LayerRecord};
use crate::digest::Digest;
use crate::error::{LayerError, StoreError};
use crate::event::{Loaded, PullEvent};
use crate::image::ConfigFile;
use crate::layer::{Compression, Source, decompressor};
use crate::manifest::{Descriptor, Document, Index, Manifest};
use crate::platform::Platform;
use crate::pull::{kept_layer, make_layer};
use crate::reference::Reference;
use crate::store::{Inner, blocking};
use crate::tar::{EntryKind, Reader};

/// Most files in an archive.
const MAX_FILES: usize = 100_000;
/// Links followed from one name of the archive to another.
const MAX_LINKS: usize = 8;
/// Indexes within indexes.
const MAX_DEPTH: usize = 3;
/// Where containerd and Docker keep an image's name in an index.
const NAME: &str = "io.containerd.image.name";
/// Where OCI layouts keep a tag or a name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(crate) async fn load(
    store: &Arc<Inner>,
    archive: impl AsyncRead + Unpin + Send,
    platforms: &[Platform],
    progress: &mpsc::Sender<PullEvent>,
) -> Result<Vec<Loaded>, StoreError> {
    let scratch = spool(store, archive).await?;
    let (store, progress) = (Arc::clone(store), progress.clone());
    let platforms = platforms.to_vec();
    blocking(move || {
        Load {
            archive: Archive::open(&store, scratch)?,
            store: &store,
            platforms,
            progress,
        }
        .run()
    })
    .await
}

/// Keeps what comes in a file without a name.
pub(crate) async fn spool(
    store: &Inner,
    mut archive: impl AsyncRead + Unpin + Send,
) -> Result<NamedTempFile, StoreError> {
    let scratch = store.content.scratch()?;
    let failed = |error| StoreError::io(&store.config.root, error);
    let mut file = tokio::fs::File::from_std(scratch.reopen().map_err(failed)?);
    let mut buffer = vec![0; 256 << 10];
    let mut length = 0u64;
    loop {
        let read = archive
            .read(&mut buffer)
            .await
            .map_err(|error| StoreError::Archive(error.to_string()))?;
        if read == 0 {
            break;
        }
        length = length.saturating_add(read as u64);
        if length > store.config.limits.layer {
            return Err(StoreError::Archive(format!(
                "it is longer than {} bytes",
                store.config.limits.layer
            )));
        }
        file.write_all(buffer.get(..read).unwrap_or_default())
            .await
            .map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(scratch)
}

/// One item of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerItem {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

struct Load<'a> {
    store: &'a Arc<Inner>,
    archive: Archive,
    /// Those whose images are wanted; none means all.
    platforms: Vec<Platform>,
    progress: mpsc::Sender<PullEvent>,
}

/// A layer file of the archive and, in OCI archives, what it must be.
struct LayerPart {
    name: String,
    promised: Option<(Digest, u64)>,
}

impl Load<'_> {
    fn run(&self) -> Result<Vec<Loaded>, StoreError> {
        let loaded = self.all()?;
        if loaded.is_empty() && !self.platforms.is_empty() {
            let platforms: Vec<String> = self.platforms.iter().map(Platform::to_string).collect();
            return Err(StoreError::Archive(format!(
                "it has no image for {}; leave out --platform to load what it has",
                platforms.join(", ")
            )));
        }
        Ok(loaded)
    }

    fn all(&self) -> Result<Vec<Loaded>, StoreError> {
        if self.archive.has("manifest.json") {
            let items: Vec<DockerItem> = self.json("manifest.json")?;
            return items
                .into_iter()
                .map(|item| self.docker_item(item))
                .collect::<Result<Vec<_>, _>>()
                .map(|loaded| once_each(loaded.into_iter().flatten()));
        }
        if self.archive.has("index.json") {
            let index: Index = self.json("index.json")?;
            return Ok(once_each(self.index(&index, None, 0)?.into_iter()));
        }
        let reason = "it has neither manifest.json nor index.json, so it is neither a docker-archive nor an oci-archive";
        Err(StoreError::Archive(reason.to_owned()))
    }

    fn docker_item(&self, item: DockerItem) -> Result<Vec<Loaded>, StoreError> {
        let config = self.archive.read(&item.config, self.store.config.limits.config)?;
        let layers = item.layers.unwrap_or_default().into_iter();
        let layers = layers.map(|name| LayerPart { name, promised: None }).collect();
        let tags = item.repo_tags.unwrap_or_default();
        let names = tags
            .iter()
            .map(|tag| tag.parse::<Reference>())
            .collect::<Result<Vec<_>, _>>()?;
        self.image(&config, layers, names, None)
    }

    fn index(&self, index: &Index, name: Option<&str>, depth: usize) -> Result<Vec<Loaded>, StoreError> {
        if depth >= MAX_DEPTH {
            return Err(StoreError::Archive("its indexes are nested too deep".to_owned()));
        }
        let mut loaded = Vec::new();
        for entry in &index.manifests {
            let platform = entry.platform.as_ref().map(|platform| platform.os.as_str());
            // Attestations, and platforms that the archive tells of and does not have.
            if platform == Some("unknown") || (depth > 0 && !self.archive.has(&blob(&entry.digest))) {
                continue;
            }
            let annotation = |key| {
                entry
                    .annotations
                    .as_ref()
                    .and_then(|annotations| annotations.get(key))
            };
            let own = annotation(NAME)
                .or_else(|| annotation(REF_NAME))
                .map(String::as_str);
            let name = own.or(name);
            let bytes = self.verified(&entry.digest, self.store.config.limits.manifest)?;
            match Document::parse("an image of the archive", &entry.media_type, &bytes)? {
                Document::Index(inner) => loaded.extend(self.index(&inner, name, depth + 1)?),
                Document::Manifest(manifest) => loaded.extend(self.manifest(entry, &manifest, name)?),
            }
        }
        Ok(loaded)
    }

    fn manifest(
        &self,
        entry: &Descriptor,
        manifest: &Manifest,
        name: Option<&str>,
    ) -> Result<Vec<Loaded>, StoreError> {
        let limits = &self.store.config.limits;
        manifest.check("an image of the archive", limits)?;
        let config = self.verified(&manifest.config.digest, limits.config)?;
        let layers = manifest.layers.iter().map(|layer| LayerPart {
            name: blob(&layer.digest),
            promised: Some((layer.digest.clone(), layer.size)),
        });
        // A bare tag, which many tools write, names no repository.
        let name = name
            .filter(|name| name.contains(['/', ':']))
            .and_then(|name| name.parse::<Reference>().ok());
        self.image(
            &config,
            layers.collect(),
            name.into_iter().collect(),
            Some(entry.digest.clone()),
        )
    }

    fn image(
        &self,
        config_bytes: &[u8],
        layers: Vec<LayerPart>,
        names: Vec<Reference>,
        manifest: Option<Digest>,
    ) -> Result<Vec<Loaded>, StoreError> {
        let malformed =
            |error: serde_json::Error| StoreError::Archive(format!("an image config is malformed: {error}"));
        let config = ConfigFile::parse(config_bytes).map_err(malformed)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() || layers.len() > self.store.config.limits.layers {
            let (told, found) = (diff_ids.len(), layers.len());
            return Err(StoreError::Archive(format!(
                "an image config tells of {told} layers where {found} are listed"
            )));
        }
        let platform = if config.architecture.is_empty() {
            self.store.config.default_platform.clone()
        } else {
            config.platform()
        };
        if !platform.is_among(&self.platforms) {
            return Ok(Vec::new());
        }
        let lease = self.store.lease(diff_ids.iter().cloned());
        let layers = layers
            .iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| self.layer(layer, diff_id));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let id = Digest::of(config_bytes);
        let record = ImageRecord {
            platform,
            manifest,
            layers,
        };
        self.name(&id, config_bytes, &record, &names)?;
        drop(lease);
        if names.is_empty() {
            return Ok(vec![Loaded::Id(id)]);
        }
        Ok(names
            .iter()
            .map(|name| Loaded::Reference(name.familiar()))
            .collect())
    }

    fn name(
        &self,
        id: &Digest,
        config: &[u8],
        record: &ImageRecord,
        names: &[Reference],
    ) -> Result<(), StoreError> {
        let names: Vec<String> = names.iter().map(Reference::to_string).collect();
        self.store.database.put(id, config, record, &names)
    }

    fn layer(&self, layer: &LayerPart, diff_id: &Digest) -> Result<LayerRecord, StoreError> {
        let id = diff_id.short().to_owned();
        let _making = self.store.making(diff_id).blocking_lock_owned();
        if self.store.content.layer(diff_id).is_some() {
            let record = kept_layer(self.store, diff_id)?;
            let _ = self.progress.try_send(PullEvent::AlreadyExists { id });
            return Ok(record);
        }
        let (file, length) = self.archive.open_file(&layer.name)?;
        let _ = self.progress.try_send(PullEvent::Extracting {
            id: id.clone(),
            current: 0,
            total: length,
        });
        let promised = layer.promised.as_ref().map(|(digest, size)| (digest, *size));
        let source = Source::Reader(Box::new(file));
        let record = make_layer(self.store, source, promised, diff_id, self.store.content.draft()?)?;
        let _ = self.progress.try_send(PullEvent::PullComplete { id });
        Ok(record)
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, StoreError> {
        let bytes = self.archive.read(name, self.store.config.limits.manifest)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::Archive(format!("{name} is malformed: {error}")))
    }

    fn verified(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let name = blob(digest);
        let bytes = self.archive.read(&name, limit)?;
        let found = Digest::of(&bytes);
        if found == *digest {
            return Ok(bytes);
        }
        Err(StoreError::WrongDigest {
            subject: format!("{name} of the archive"),
            wanted: digest.clone(),
            found,
        })
    }
}

/// What was loaded, without what an archive has twice: an index has an entry for each of an image's names.
fn once_each(loaded: impl Iterator<Item = Loaded>) -> Vec<Loaded> {
    let mut seen = BTreeSet::new();
    loaded.filter(|loaded| seen.insert(loaded.to_string())).collect()
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// An archive in a file, and where in it each of its files is.
struct Archive {
    file: NamedTempFile,
    parts: BTreeMap<String, Part>,
}

#[derive(Clone)]
enum Part {
    Data { offset: u64, length: u64 },
    Link(String),
}

impl Archive {
    fn open(store: &Inner, file: NamedTempFile) -> Result<Self, StoreError> {
        let failed = |error: io::Error| match LayerError::from(error) {
            LayerError::Io(error) => StoreError::io(&store.config.root, error),
            error => StoreError::Archive(error.to_string()),
        };
        let file = inflated(store, file).map_err(failed)?;
        let parts = contents(file.reopen().map_err(failed)?);
        let parts = parts.map_err(|error| failed(error.into()))?;
        Ok(Self { file, parts })
    }

    fn has(&self, name: &str) -> bool {
        self.part(name).is_some()
    }

    fn part(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = clean(name);
        for _ in 0..MAX_LINKS {
            match self.parts.get(&name)? {
                Part::Data { offset, length } => return Some((*offset, *length)),
                Part::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    /// A file of the archive and its length.
    fn open_file(&self, name: &str) -> Result<(io::Take<File>, u64), StoreError> {
        let shown: String = name.chars().take(200).collect();
        let (offset, length) = self
            .part(name)
            .ok_or_else(|| StoreError::Archive(format!("it has no file {shown:?}")))?;
        let failed = |error| StoreError::io(self.file.path(), error);
        let mut file = self.file.reopen().map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        Ok((file.take(length), length))
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let (mut file, length) = self.open_file(name)?;
        if length > limit {
            let name: String = name.chars().take(200).collect();
            let reason = format!("its file {name:?} of {length} bytes is over the limit of {limit}");
            return Err(StoreError::Archive(reason));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| StoreError::io(self.file.path(), error))?;
        Ok(bytes)
    }
}

/// The archive without compression.
pub(crate) fn inflated(store: &Inner, file: NamedTempFile) -> io::Result<NamedTempFile> {
    let compressed = file.as_file().metadata()?.len().max(1);
    let mut start = [0; Compression::START];
    let read = file.reopen()?.read(&mut start)?;
    let start = start.get(..read).unwrap_or_default();
    if Compression::detect(start) == Compression::None {
        return Ok(file);
    }
    let limits = &store.config.limits;
    let limit = compressed
        .saturating_mul(limits.ratio)
        .max(limits.ratio_floor)
        .min(limits.layer);
    let plain = store.content.scratch().map_err(io::Error::other)?;
    let mut source = decompressor(BufReader::new(file.reopen()?))?.take(limit);
    let written = io::copy(&mut source, &mut plain.reopen()?)?;
    if written >= limit {
        return Err(LayerError::Limit("it grows beyond reason when it is decompressed".to_owned()).into());
    }
    Ok(plain)
}

/// Where each file is.
fn contents(file: File) -> Result<BTreeMap<String, Part>, LayerError> {
    let mut reader = Reader::new(BufReader::with_capacity(256 << 10, file));
    let mut parts = BTreeMap::new();
    while let Some(entry) = reader.next()? {
        let _ = reader.take_raw();
        let name = clean(&String::from_utf8_lossy(&entry.name));
        let part = match entry.kind {
            EntryKind::Regular if entry.sparse.is_none() => Some(Part::Data {
                offset: reader.position(),
                length: entry.size,
            }),
            EntryKind::HardLink => Some(Part::Link(clean(&String::from_utf8_lossy(&entry.link_name)))),
            EntryKind::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                Some(Part::Link(clean(&format!(
                    "{folder}/{}",
                    String::from_utf8_lossy(&entry.link_name)
                ))))
            }
            _ => None,
        };
        if let Some(part) = part {
            parts.insert(name, part);
        }
        if parts.len() > MAX_FILES {
            return Err(LayerError::Limit(format!("it has more than {MAX_FILES} files")));
        }
        let mut data = reader.data();
        loop {
            let length = data.fill_buf()?.len();
            if length == 0 {
                break;
            }
            data.consume(length);
        }
    }
    Ok(parts)
}

/// A name without `.`, `..` and empty parts.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
