//! Images made in memory, and blobs wherever they are.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// `sha256:…` of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The bytes, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// An image of uncompressed layer archives.
#[derive(Clone, Debug)]
pub struct Image {
    /// `os/architecture` of the config.
    pub platform: (String, String),
    /// Compressed layers as they are served, lowest first.
    pub layers: Vec<Bytes>,
    /// Diff IDs that the config tells.
    pub diff_ids: Vec<String>,
}

impl Image {
    /// An image whose layers are served with gzip.
    pub fn new(architecture: &str, archives: &[Vec<u8>]) -> Self {
        Self {
            platform: ("linux".to_owned(), architecture.to_owned()),
            layers: archives.iter().map(|archive| gzip(archive).into()).collect(),
            diff_ids: archives.iter().map(|archive| sha256(archive)).collect(),
        }
    }

    /// The config file.
    pub fn config(&self) -> Bytes {
        let (os, architecture) = &self.platform;
        let config = json!({
            "architecture": architecture, "os": os, "created": "2026-01-02T03:04:05Z",
            "config": { "Cmd": ["/hello"] },
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids },
        });
        config.to_string().into()
    }

    /// The manifest.
    pub fn manifest(&self) -> Bytes {
        let config = self.config();
        let layer = |layer: &Bytes| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
        });
        manifest.to_string().into()
    }

    pub(crate) fn blobs(&self) -> HashMap<String, Blob> {
        let blobs = self.layers.iter().cloned().chain([self.config()]);
        blobs.map(|blob| (sha256(&blob), Blob::Memory(blob))).collect()
    }
}

/// A config or a layer.
#[derive(Clone, Debug)]
pub(crate) enum Blob {
    Memory(Bytes),
    File(PathBuf),
}

impl Blob {
    /// `None` when its file is gone.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Memory(bytes) => Some(bytes.clone()),
            Self::File(path) => std::fs::read(path).ok().map(Bytes::from),
        }
    }
}

/// An index of images.
pub(crate) fn index(images: &[Image]) -> Bytes {
    let entry = |image: &Image| {
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &image.manifest());
        let (os, architecture) = &image.platform;
        if let Some(entry) = entry.as_object_mut() {
            entry.insert(
                "platform".to_owned(),
                json!({ "os": os, "architecture": architecture }),
            );
        }
        entry
    };
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": images.iter().map(entry).collect::<Vec<_>>(),
    });
    index.to_string().into()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}
