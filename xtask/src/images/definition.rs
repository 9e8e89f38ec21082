//! `image.toml`: what an image holds and how it runs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Definition {
    /// The first is the one the layout names it by.
    pub(super) tags: Vec<String>,
    pub(super) config: Config,
    /// From the lowest up.
    #[serde(rename = "layer")]
    pub(super) layers: Vec<Layer>,
}

/// How a container of it runs (image-spec, `config.md`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Config {
    pub(super) user: String,
    pub(super) env: BTreeMap<String, String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
    pub(super) working_dir: String,
    /// `6379/tcp`.
    pub(super) ports: Vec<String>,
}

/// What a layer adds to and takes from those below.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Layer {
    /// What it is for, told in the image's history.
    pub(super) comment: String,
    /// Debian packages, with all they depend on and no layer below has.
    pub(super) packages: Vec<String>,
    /// Dependencies that the image can do without, and what only they need.
    pub(super) without: Vec<String>,
    /// Paths that are left out of what packages bring.
    pub(super) prune: Vec<String>,
    /// Paths of packages that are put elsewhere.
    pub(super) moves: BTreeMap<String, String>,
    /// A folder beside the definition whose files are added.
    pub(super) files: Option<String>,
    /// Programs of this workspace, by their path in the image.
    pub(super) programs: BTreeMap<String, Program>,
    /// The path of a busybox that gets a link for each of its applets.
    pub(super) busybox: Option<String>,
    /// Symbolic links and what they point to.
    pub(super) links: BTreeMap<String, String>,
    pub(super) folders: BTreeMap<String, Folder>,
    /// Paths of layers below that are gone from here up: whiteouts.
    pub(super) remove: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    pub(super) package: String,
    pub(super) bin: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Folder {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }
}

impl Definition {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("image.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    pub(super) fn has_programs(&self) -> bool {
        self.layers.iter().any(|layer| !layer.programs.is_empty())
    }
}
