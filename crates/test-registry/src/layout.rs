//! OCI image layouts on disk (image-spec, `image-layout.md`).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use crate::content::Blob;

/// What a layout holds. Digests are those of its file names.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) tags: HashMap<String, String>,
    pub(crate) manifests: HashMap<String, Bytes>,
    pub(crate) blobs: HashMap<String, Blob>,
    pub(crate) layers: Vec<String>,
}

impl Layout {
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let mut layout = Self::default();
        for blob in fs::read_dir(folder.join("blobs/sha256"))? {
            let blob = blob?;
            let digest = format!("sha256:{}", blob.file_name().to_string_lossy());
            layout.blobs.insert(digest, Blob::File(blob.path()));
        }
        let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
        for descriptor in items(&index, "manifests") {
            let tag = descriptor
                .pointer("/annotations/org.opencontainers.image.ref.name")
                .and_then(Value::as_str)
                .unwrap_or("latest");
            layout.tags.insert(tag.to_owned(), digest(descriptor));
            layout.add_manifest(descriptor)?;
        }
        Ok(layout)
    }

    /// An index, with the manifests in it, or a manifest.
    fn add_manifest(&mut self, descriptor: &Value) -> io::Result<()> {
        let digest_of_manifest = digest(descriptor);
        let bytes = self.blobs.get(&digest_of_manifest).and_then(Blob::bytes);
        let bytes = bytes.ok_or_else(|| io::Error::other(format!("{digest_of_manifest} is missing")))?;
        let manifest: Value = serde_json::from_slice(&bytes)?;
        self.manifests.insert(digest_of_manifest, bytes);
        self.layers.extend(items(&manifest, "layers").map(digest));
        items(&manifest, "manifests").try_for_each(|nested| self.add_manifest(nested))
    }
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn digest(descriptor: &Value) -> String {
    let digest = descriptor.get("digest").and_then(Value::as_str);
    digest.unwrap_or_default().to_owned()
}
