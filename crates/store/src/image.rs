//! What callers see of an image, and the image config (OCI image-spec, `config.md`, with Docker's additions
//! `Healthcheck`, `Shell`, `OnBuild`). Fields are read leniently: `null` and absent mean the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// An image in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Docker's image ID: the digest of the config, `sha256:…`.
    pub id: Digest,
    /// What the image is made for.
    pub platform: Platform,
    /// `alpine:latest`, sorted.
    pub repo_tags: Vec<String>,
    /// `alpine@sha256:…`, sorted.
    pub repo_digests: Vec<String>,
    /// Bytes of the files in all layers.
    pub size: u64,
    /// The same of each layer, lowest first.
    pub layer_sizes: Vec<u64>,
    /// RFC 3339 time at which the image was built.
    pub created: Option<String>,
    /// Who built it.
    pub author: Option<String>,
    /// The manifest (not index) that the image was pulled by; `None` for an image that was loaded.
    pub manifest_digest: Option<Digest>,
    /// What a container of the image runs.
    pub config: ImageConfig,
    /// How the image was built, oldest step first.
    pub history: Vec<HistoryEntry>,
    /// The layers, lowest first.
    pub layers: Vec<ImageLayer>,
}

/// A layer of an image, an EROFS file on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// The EROFS file.
    pub path: PathBuf,
    /// Length of the file in bytes, a multiple of 4096.
    pub length: u64,
}

/// The execution part of an image config. JSON names are Docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `user[:group]`, names or numbers; empty is root.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// `80/tcp`.
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// Command that the arguments are given to.
    #[serde(deserialize_with = "word_or_words")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments, or the whole command without an entrypoint.
    #[serde(deserialize_with = "word_or_words")]
    pub cmd: Option<Vec<String>>,
    /// Paths that get a volume.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// Working directory; empty is `/`.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// `SIGTERM` when absent.
    pub stop_signal: Option<String>,
    /// Shell of shell-form commands in a build.
    #[serde(deserialize_with = "word_or_words")]
    pub shell: Option<Vec<String>>,
    /// Docker's health check.
    pub healthcheck: Option<Healthcheck>,
    /// Build triggers.
    #[serde(deserialize_with = "null_is_default")]
    pub on_build: Vec<String>,
}

/// Docker's health check. Times are nanoseconds; 0 inherits the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval: i64,
    /// Longest time of one check.
    pub timeout: i64,
    /// Time after the start in which failures do not count.
    pub start_period: i64,
    /// Time between two checks in the start period.
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    pub retries: i64,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// RFC 3339 time.
    pub created: Option<String>,
    /// The command.
    pub created_by: Option<String>,
    /// Who did it.
    pub author: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// The step made no layer.
    pub empty_layer: bool,
}

/// The parts of a config file that sampan reads.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(default)]
    pub(crate) created: Option<String>,
    #[serde(default)]
    pub(crate) author: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) config: ImageConfig,
    pub(crate) rootfs: RootFs,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) history: Vec<HistoryEntry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) diff_ids: Vec<Digest>,
}

impl ConfigFile {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    pub(crate) fn platform(&self) -> Platform {
        let os = if self.os.is_empty() { "linux" } else { &self.os };
        Platform::from_parts(os, &self.architecture, self.variant.as_deref())
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// Docker keeps sets as objects with empty values.
fn keys<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    let set: Option<BTreeMap<String, serde::de::IgnoredAny>> = Option::deserialize(value)?;
    Ok(set.unwrap_or_default().into_keys().collect())
}

/// Old images have a single string where a list belongs.
fn word_or_words<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::deserialize(value)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docker_config_with_nulls_sets_and_a_bare_string_is_read() {
        let text = r#"{"architecture":"arm64","os":"linux","variant":"v8","created":"2024-01-01T00:00:00Z",
            "config":{"Env":null,"Cmd":"sh","Entrypoint":null,"ExposedPorts":{"80/tcp":{}},"Labels":null,
            "Volumes":{"/data":{}},"Healthcheck":{"Test":["CMD","true"],"Retries":3},"Unknown":1},
            "rootfs":{"type":"layers","diff_ids":null},"history":[{"empty_layer":true}]}"#;
        let config = ConfigFile::parse(text.as_bytes()).unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm64");
        assert_eq!(config.config.cmd.as_deref(), Some(["sh".to_owned()].as_slice()));
        assert_eq!(config.config.exposed_ports, ["80/tcp"]);
        assert_eq!(config.config.volumes, ["/data"]);
        assert_eq!(config.config.healthcheck.unwrap().retries, 3);
        assert!(config.history[0].empty_layer);
    }

    #[test]
    fn a_diff_id_that_is_a_path_is_refused() {
        let text = r#"{"rootfs":{"diff_ids":["sha256:../../../etc/passwd"]}}"#;
        assert!(ConfigFile::parse(text.as_bytes()).is_err());
    }
}
