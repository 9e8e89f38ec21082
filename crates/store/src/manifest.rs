//! Manifests and indexes (OCI image-spec, `manifest.md` and `image-index.md`; Docker's v2 schema 2 has the same
//! shape under other media types).

use serde::{Deserialize, Serialize};

use crate::config::Limits;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::platform::Platform;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's first manifest format, long retired.
const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1";

/// What a client says that it takes.
pub(crate) const ACCEPT: [&str; 4] = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST];

/// What points at content.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<IndexPlatform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct IndexPlatform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl IndexPlatform {
    pub(crate) fn platform(&self) -> Platform {
        Platform::from_parts(&self.os, &self.architecture, self.variant.as_deref())
    }
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Images for several platforms.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

/// What a reference leads to.
#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

impl Document {
    /// Reads either kind. `content_type` is what the registry or index says; it must not contradict the content.
    pub(crate) fn parse(subject: &str, content_type: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let invalid = |reason: String| StoreError::invalid(subject, reason);
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            #[serde(default)]
            schema_version: u32,
            #[serde(default)]
            media_type: String,
            #[serde(default)]
            manifests: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            layers: Option<serde::de::IgnoredAny>,
        }
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        let parse_error = |error: serde_json::Error| invalid(format!("its manifest is malformed: {error}"));
        let shape: Shape = serde_json::from_slice(bytes).map_err(parse_error)?;
        if shape.schema_version == 1 || content_type.starts_with(DOCKER_SCHEMA1) {
            let reason = "it has a manifest of Docker's retired schema 1; push it anew with a current Docker";
            return Err(invalid(reason.to_owned()));
        }
        // A document that is an index to one reader and a manifest to another is an attack (CVE-2021-41190).
        if shape.manifests.is_some() && shape.layers.is_some() {
            return Err(invalid(
                "its manifest is a manifest and an index at once".to_owned(),
            ));
        }
        let told = if shape.media_type.is_empty() {
            content_type
        } else {
            &shape.media_type
        };
        let is_index = match told {
            OCI_INDEX | DOCKER_INDEX => true,
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            "" | "application/json" | "text/plain" | "application/octet-stream" => shape.manifests.is_some(),
            other => {
                return Err(invalid(format!(
                    "its manifest has the unknown media type {other:?}"
                )));
            }
        };
        if is_index {
            serde_json::from_slice(bytes)
                .map(Self::Index)
                .map_err(parse_error)
        } else {
            serde_json::from_slice(bytes)
                .map(Self::Manifest)
                .map_err(parse_error)
        }
    }
}

impl Descriptor {
    /// What points at content without more to say of it.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: None,
        }
    }
}

impl Index {
    /// How many platforms it has an image for; what is no image, such as an attestation, names none.
    pub(crate) fn offered(&self) -> usize {
        let named = |entry: &&Descriptor| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|platform| platform.os != "unknown")
        };
        self.manifests.iter().filter(named).count()
    }

    /// The entry that serves a platform best; the first of equals.
    pub(crate) fn choose(&self, platform: &Platform) -> Result<&Descriptor, StoreError> {
        let offered = self.manifests.iter().filter_map(|entry| {
            let distance = platform.distance(&entry.platform.as_ref()?.platform())?;
            Some((distance, entry))
        });
        let best = offered
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, entry)| entry);
        best.ok_or_else(|| StoreError::NoMatchingManifest(platform.to_string()))
    }
}

impl Manifest {
    /// Refuses what is no container image or goes beyond limits.
    pub(crate) fn check(&self, subject: &str, limits: &Limits) -> Result<(), StoreError> {
        let kind = self.config.media_type.as_str();
        if !matches!(kind, "" | OCI_CONFIG | DOCKER_CONFIG | "application/octet-stream") {
            return Err(StoreError::invalid(
                subject,
                format!("it is not a container image but {kind:?}"),
            ));
        }
        if self.config.size > limits.config {
            let reason = format!(
                "its config of {} bytes is over the limit of {}",
                self.config.size, limits.config
            );
            return Err(StoreError::invalid(subject, reason));
        }
        if self.layers.len() > limits.layers {
            let reason = format!(
                "it has {} layers, over the limit of {}",
                self.layers.len(),
                limits.layers
            );
            return Err(StoreError::invalid(subject, reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(platforms: &[&str]) -> Index {
        let manifests = platforms.iter().enumerate().map(|(number, platform)| {
            let parts: Vec<&str> = platform.split('/').collect();
            Descriptor {
                media_type: OCI_MANIFEST.to_owned(),
                digest: Digest::of(&[number as u8]),
                size: 1,
                platform: Some(IndexPlatform {
                    os: parts[0].to_owned(),
                    architecture: parts[1].to_owned(),
                    variant: parts.get(2).map(|variant| (*variant).to_owned()),
                }),
                annotations: None,
            }
        });
        Index {
            schema_version: 2,
            media_type: String::new(),
            manifests: manifests.collect(),
        }
    }

    #[test]
    fn the_entry_of_the_platform_is_chosen_and_a_missing_one_is_told_as_docker_does() {
        let index = index(&[
            "unknown/unknown",
            "linux/amd64",
            "linux/arm/v6",
            "linux/arm/v7",
            "linux/arm64/v8",
        ]);
        let chosen = |platform: &str| {
            index
                .choose(&platform.parse().unwrap())
                .map(|entry| entry.digest.clone())
        };
        assert_eq!(chosen("linux/arm64").unwrap(), Digest::of(&[4]));
        assert_eq!(chosen("linux/arm").unwrap(), Digest::of(&[3]));
        assert_eq!(chosen("linux/arm/v6").unwrap(), Digest::of(&[2]));
        assert_eq!(
            chosen("linux/s390x").unwrap_err().to_string(),
            "no matching manifest for linux/s390x in the manifest list entries"
        );
    }

    #[test]
    fn a_document_of_two_kinds_and_a_retired_one_are_refused() {
        let both = br#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#;
        assert!(
            Document::parse("x", "", both)
                .unwrap_err()
                .to_string()
                .contains("at once")
        );
        let old = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert!(
            Document::parse("x", "", old)
                .unwrap_err()
                .to_string()
                .contains("schema 1")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_document_or_an_error(text in "\\PC{0,200}", kind in "\\PC{0,20}") {
            let _ = Document::parse("x", &kind, text.as_bytes());
        }
    }
}
