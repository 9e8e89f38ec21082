//! Writing an OCI image layout (image-spec: `image-layout.md`, `image-index.md`, `manifest.md`, `config.md`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::definition::{Config, Definition};
use super::layer::Archive;
use crate::architecture::Architecture;

const CREATED: &str = "2026-01-01T00:00:00Z";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Writes the image with its variants into `folder`, under every tag.
pub(super) fn write(
    folder: &Path,
    definition: &Definition,
    variants: Vec<(Architecture, Vec<Archive>)>,
) -> Result<()> {
    let blobs = Blobs::create(folder)?;
    let mut manifests = Vec::new();
    for (arch, layers) in variants {
        let mut manifest = variant(&blobs, &definition.config, arch, layers)?;
        set(&mut manifest, "platform", platform(arch));
        manifests.push(manifest);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let index = blobs.put_json(INDEX, &index)?;
    let tagged: Vec<_> = definition
        .tags
        .iter()
        .map(|tag| {
            let mut entry = index.clone();
            set(
                &mut entry,
                "annotations",
                json!({ "org.opencontainers.image.ref.name": tag }),
            );
            entry
        })
        .collect();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": tagged });
    fs::write(folder.join("index.json"), serde_json::to_vec(&index)?)?;
    Ok(())
}

/// The manifest's descriptor of one architecture.
fn variant(blobs: &Blobs, config: &Config, arch: Architecture, layers: Vec<Archive>) -> Result<Value> {
    let (mut descriptors, mut diff_ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for layer in layers {
        let mut gzip = flate2::GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), flate2::Compression::new(6));
        gzip.write_all(&layer.tar)?;
        descriptors.push(blobs.put(LAYER, &gzip.finish()?)?);
        diff_ids.push(digest(&layer.tar));
        history.push(json!({ "created": CREATED, "created_by": layer.made_by }));
    }
    let mut image = platform(arch);
    set(&mut image, "created", json!(CREATED));
    set(&mut image, "config", run_config(config));
    set(
        &mut image,
        "rootfs",
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    set(&mut image, "history", json!(history));
    let config = blobs.put_json(CONFIG, &image)?;
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors });
    blobs.put_json(MANIFEST, &manifest)
}

fn platform(arch: Architecture) -> Value {
    match arch {
        Architecture::Amd64 => json!({ "architecture": "amd64", "os": "linux" }),
        Architecture::Arm64 => json!({ "architecture": "arm64", "os": "linux", "variant": "v8" }),
    }
}

fn run_config(config: &Config) -> Value {
    let mut value = json!({});
    let env: Vec<_> = config
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let ports: BTreeMap<_, _> = config.ports.iter().map(|port| (port, json!({}))).collect();
    for (name, field, empty) in [
        ("User", json!(config.user), config.user.is_empty()),
        ("Env", json!(env), env.is_empty()),
        (
            "Entrypoint",
            json!(config.entrypoint),
            config.entrypoint.is_empty(),
        ),
        ("Cmd", json!(config.cmd), config.cmd.is_empty()),
        (
            "WorkingDir",
            json!(config.working_dir),
            config.working_dir.is_empty(),
        ),
        ("ExposedPorts", json!(ports), ports.is_empty()),
    ] {
        if !empty {
            set(&mut value, name, field);
        }
    }
    value
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// The content-addressed part of the layout.
struct Blobs(PathBuf);

impl Blobs {
    fn create(layout: &Path) -> Result<Self> {
        let folder = layout.join("blobs/sha256");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Stores a blob and returns its descriptor (image-spec, `descriptor.md`).
    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        let name = digest.trim_start_matches("sha256:");
        fs::write(self.0.join(name), bytes).with_context(|| format!("cannot write the blob {digest}"))?;
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
    }

    fn put_json(&self, media_type: &str, value: &Value) -> Result<Value> {
        self.put(media_type, &serde_json::to_vec(value)?)
    }
}
