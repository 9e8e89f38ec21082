//! Names and images, in one transactional file: an image and its names appear and vanish together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::StoreError;
use crate::layer::Compression;
use crate::platform::Platform;

/// Image ID → [`ImageRecord`] as JSON.
const IMAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("images");
/// Image ID → the config file, byte for byte.
const CONFIGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("configs");
/// (`docker.io/library/alpine:latest` or `docker.io/library/alpine@sha256:…`, platform) → image ID.
const NAMES: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("names");

/// Most blobs that are remembered of one layer: registries seldom keep more than one or two.
const MAX_BLOBS: usize = 4;

/// What is kept of an image beside its config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) platform: Platform,
    pub(crate) manifest: Option<Digest>,
    pub(crate) layers: Vec<LayerRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) diff_id: Digest,
    /// Length of the uncompressed archive, in bytes.
    pub(crate) size: u64,
    /// Bytes of the files in it, which is what Docker calls the size of a layer. Not known of
    /// a layer that a broken-off pull has left, and in stores of before this was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<u64>,
    /// How registries keep the layer, as far as was seen and checked; the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blobs: Vec<Blob>,
}

/// A layer as a registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) compression: Compression,
}

impl LayerRecord {
    /// What is told as the layer's size.
    pub(crate) fn shown_size(&self) -> u64 {
        self.content.unwrap_or(self.size)
    }

    /// Notes how a registry keeps the layer.
    pub(crate) fn note(&mut self, blob: Blob) {
        self.blobs.retain(|known| known.digest != blob.digest);
        self.blobs.insert(0, blob);
        self.blobs.truncate(MAX_BLOBS);
    }
}

/// A name and what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) image: Digest,
}

/// The database of a store.
#[derive(Debug)]
pub(crate) struct Database {
    database: redb::Database,
    path: PathBuf,
}

/// Everything at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) images: Vec<(Digest, ImageRecord)>,
    pub(crate) names: Vec<Name>,
}

impl Snapshot {
    pub(crate) fn record(&self, id: &Digest) -> Option<&ImageRecord> {
        self.images
            .iter()
            .find(|(image, _)| image == id)
            .map(|(_, record)| record)
    }

    /// What the images know of how registries keep a layer.
    pub(crate) fn blobs(&self, diff_id: &Digest) -> Vec<Blob> {
        let layers = self.images.iter().flat_map(|(_, record)| &record.layers);
        let mut found: Vec<Blob> = Vec::new();
        for blob in layers
            .filter(|layer| layer.diff_id == *diff_id)
            .flat_map(|layer| &layer.blobs)
        {
            if found.iter().all(|known| known.digest != blob.digest) {
                found.push(blob.clone());
            }
        }
        found.truncate(MAX_BLOBS);
        found
    }

    /// How many bytes the files of a layer have, if an image knows.
    pub(crate) fn content(&self, diff_id: &Digest) -> Option<u64> {
        let mut layers = self.images.iter().flat_map(|(_, record)| &record.layers);
        layers.find_map(|layer| layer.content.filter(|_| layer.diff_id == *diff_id))
    }

    /// Layers that some image needs.
    pub(crate) fn layers(&self) -> BTreeSet<Digest> {
        let layers = self.images.iter().flat_map(|(_, record)| &record.layers);
        layers.map(|layer| layer.diff_id.clone()).collect()
    }
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: &dyn std::fmt::Display| failed(path, error);
        let database = redb::Database::create(path).map_err(|error| failed(&error))?;
        let database = Self {
            database,
            path: path.to_owned(),
        };
        // So that readers find the tables.
        database.write(|_| Ok(()))?;
        Ok(database)
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.read(|transaction| {
            let mut snapshot = Snapshot::default();
            for row in transaction.open_table(IMAGES)?.iter()? {
                let (id, record) = row?;
                let parsed = id
                    .value()
                    .parse()
                    .ok()
                    .zip(serde_json::from_slice(record.value()).ok());
                snapshot.images.push(parsed.ok_or_else(corrupted)?);
            }
            for row in transaction.open_table(NAMES)?.iter()? {
                let (key, image) = row?;
                let (name, platform) = key.value();
                let image = image.value().parse().map_err(|_| corrupted())?;
                snapshot.names.push(Name {
                    name: name.to_owned(),
                    platform: platform.to_owned(),
                    image,
                });
            }
            Ok(snapshot)
        })
    }

    pub(crate) fn config(&self, id: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|transaction| {
            let config = transaction.open_table(CONFIGS)?.get(id.as_str())?;
            Ok(config.map(|config| config.value().to_vec()))
        })
    }

    /// Adds an image and gives it names, in one step. When this returns, it survives a power cut.
    pub(crate) fn put(
        &self,
        id: &Digest,
        config: &[u8],
        record: &ImageRecord,
        names: &[String],
    ) -> Result<(), StoreError> {
        let json = serde_json::to_vec(record).map_err(|error| failed(&self.path, &error))?;
        let platform = record.platform.to_string();
        self.write(|transaction| {
            transaction
                .open_table(IMAGES)?
                .insert(id.as_str(), json.as_slice())?;
            transaction.open_table(CONFIGS)?.insert(id.as_str(), config)?;
            let mut table = transaction.open_table(NAMES)?;
            for name in names {
                table.insert((name.as_str(), platform.as_str()), id.as_str())?;
            }
            Ok(())
        })
    }

    /// Gives an image one more name.
    pub(crate) fn name(&self, id: &Digest, platform: &Platform, name: &str) -> Result<(), StoreError> {
        let platform = platform.to_string();
        self.write(|transaction| {
            transaction
                .open_table(NAMES)?
                .insert((name, platform.as_str()), id.as_str())?;
            Ok(())
        })
    }

    /// Notes that a registry has an image: how it keeps the layers, by diff ID, and under which name with a digest. An
    /// image that is gone meanwhile stays so.
    pub(crate) fn pushed(&self, id: &Digest, blobs: &[(Digest, Blob)], name: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut images = transaction.open_table(IMAGES)?;
            let Some(record) = images.get(id.as_str())?.map(|record| record.value().to_vec()) else {
                return Ok(());
            };
            let mut record: ImageRecord = serde_json::from_slice(&record).map_err(|_| corrupted())?;
            for layer in &mut record.layers {
                let blob = blobs.iter().find(|(diff_id, _)| *diff_id == layer.diff_id);
                blob.into_iter().for_each(|(_, blob)| layer.note(blob.clone()));
            }
            let json = serde_json::to_vec(&record).map_err(|_| corrupted())?;
            images.insert(id.as_str(), json.as_slice())?;
            let platform = record.platform.to_string();
            transaction
                .open_table(NAMES)?
                .insert((name, platform.as_str()), id.as_str())?;
            Ok(())
        })
    }

    /// Takes names and images away, in one step.
    pub(crate) fn remove(&self, names: &[Name], images: &[Digest]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(NAMES)?;
            for name in names {
                table.remove((name.name.as_str(), name.platform.as_str()))?;
            }
            for image in images {
                transaction.open_table(IMAGES)?.remove(image.as_str())?;
                transaction.open_table(CONFIGS)?.remove(image.as_str())?;
            }
            Ok(())
        })
    }

    fn read<T>(
        &self,
        body: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let transaction = self
            .database
            .begin_read()
            .map_err(|error| failed(&self.path, &error))?;
        body(&transaction).map_err(|error| failed(&self.path, &error))
    }

    fn write(
        &self,
        body: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let transaction = self
            .database
            .begin_write()
            .map_err(|error| failed(&self.path, &error))?;
        let result = (|| {
            transaction.open_table(IMAGES)?;
            transaction.open_table(CONFIGS)?;
            transaction.open_table(NAMES)?;
            body(&transaction)?;
            transaction.commit()?;
            Ok(())
        })();
        result.map_err(|error: redb::Error| match error {
            redb::Error::Io(error) => StoreError::io(&self.path, error),
            error => failed(&self.path, &error),
        })
    }
}

fn corrupted() -> redb::Error {
    redb::Error::Corrupted("a record is malformed".to_owned())
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Database {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
