//! The images that demos and tests run, made from Debian packages and from programs of ours for both architectures.
//!
//! `images/NAME/image.toml` defines each; the result is an OCI image layout (image-spec, `image-layout.md`) with an
//! image index over the architectures. The same definition and packages give the same bytes.

mod definition;
mod layer;
mod layout;
pub mod synthetic;
mod tree;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::fingerprint::Fingerprint;
use crate::registry::Registry;
use crate::setup::debian::{Debian, Release};
use crate::setup::rust_src::Toolchain;
use crate::{paths, publish, run};
use definition::Definition;

/// Raised when the way of building changes what is built.
const RECIPE: &str = "image 1";

/// An image that is built.
#[derive(Clone, Debug)]
pub struct Image {
    /// `alpine`.
    pub name: String,
    /// `latest` and others, all the same image.
    pub tags: Vec<String>,
    /// Its OCI image layout.
    pub layout: PathBuf,
}

impl Image {
    /// Pushes it under all its tags as `library/NAME`, where clients look for the unqualified name.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub fn push(&self, registry: &Registry) -> Result<()> {
        self.tags
            .iter()
            .try_for_each(|tag| registry.push(&self.layout, &format!("library/{}", self.name), tag))
    }
}

/// Builds every image, or takes it from the cache.
///
/// # Errors
/// When a definition is wrong, or a package cannot be had.
pub fn build_all() -> Result<Vec<Image>> {
    let folder = paths::checkout().join("images");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.path().join("image.toml").exists() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    names.iter().map(|name| build(name)).collect()
}

/// Builds the image `images/NAME`, or takes it from the cache.
///
/// # Errors
/// As [`build_all`].
pub fn build(name: &str) -> Result<Image> {
    let folder = paths::checkout().join("images").join(name);
    let definition = Definition::read(&folder)?;
    let mut fingerprint = Fingerprint::new(RECIPE);
    fingerprint.add_path(&folder)?;
    if definition.has_programs() {
        fingerprint.add(Toolchain::current()?.version);
    }
    let layout = paths::cache()
        .join("images")
        .join(format!("{name}-{}", fingerprint.finish()));
    publish::once(&layout, |draft| {
        let debian = Debian::open(Release::Trixie)?;
        let mut variants = Vec::new();
        for arch in Architecture::ALL {
            run::step(&format!("building the image {name} for {}", arch.docker()));
            let context = || format!("cannot build the image {name} for {}", arch.docker());
            variants.push((
                arch,
                layer::build(&definition, &folder, &debian, arch).with_context(context)?,
            ));
        }
        layout::write(draft, &definition, variants)
    })?;
    Ok(Image {
        name: name.to_owned(),
        tags: definition.tags,
        layout,
    })
}
