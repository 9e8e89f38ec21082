//! Whether the files are there that the database tells of, and what lies there without anybody needing it. Reads no
//! more of a layer than its superblock: that tells a missing or a cut file, not a changed byte in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::database::Snapshot;
use crate::digest::Digest;
use crate::erofs::{BLOCK, told_blocks};
use crate::error::StoreError;
use crate::store::Inner;

/// What [`crate::Store::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkup {
    pub images: usize,
    /// The layers that images need.
    pub layers: usize,
    pub flaws: Vec<Flaw>,
    /// Layers that no image needs: those of a pull that is under way, or broke off.
    pub unneeded: Pile,
    /// Downloads that broke off and can be taken up again.
    pub partial: Pile,
}

/// Some files, and how long they are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pile {
    pub files: usize,
    pub bytes: u64,
}

/// Something that an image lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("{} is missing, and the image {image} needs it", .path.display())]
    Missing { image: String, path: PathBuf },
    #[error("{} is damaged ({reason}), and the image {image} needs it", .path.display())]
    Damaged {
        image: String,
        path: PathBuf,
        reason: String,
    },
    #[error("the configuration of the image {image} is missing in the database")]
    NoConfig { image: String },
    #[error("the name {name} leads to an image that is not there")]
    Dangling { name: String },
}

/// Looks at every image. Blocks on file I/O.
pub(crate) fn check(store: &Inner) -> Result<Checkup, StoreError> {
    let snapshot = store.database.snapshot()?;
    let mut checkup = Checkup {
        images: snapshot.images.len(),
        ..Checkup::default()
    };
    for (id, _) in &snapshot.images {
        if store.database.config(id)?.is_none() {
            let image = shown(&snapshot, id);
            checkup.flaws.push(Flaw::NoConfig { image });
        }
    }
    let needed = users(&snapshot);
    checkup.layers = needed.len();
    for (layer, image) in &needed {
        let (file, recipe) = store.content.files(layer);
        checkup.flaws.extend(flaw(image, file));
        if !recipe.is_file() {
            checkup.flaws.push(Flaw::Missing {
                image: image.clone(),
                path: recipe,
            });
        }
    }
    let dangling = |name: &&crate::database::Name| snapshot.record(&name.image).is_none();
    checkup
        .flaws
        .extend(snapshot.names.iter().filter(dangling).map(|name| Flaw::Dangling {
            name: name.name.clone(),
        }));
    let unneeded = store.content.all()?;
    let unneeded = unneeded.iter().filter(|layer| !needed.contains_key(layer));
    checkup.unneeded = pile(unneeded.map(|layer| store.content.files(layer).0));
    checkup.partial = pile(store.content.partials()?.into_iter());
    Ok(checkup)
}

/// Every layer that is needed, with one of the images that need it.
fn users(snapshot: &Snapshot) -> BTreeMap<Digest, String> {
    let mut users = BTreeMap::new();
    for (id, record) in &snapshot.images {
        for layer in &record.layers {
            users
                .entry(layer.diff_id.clone())
                .or_insert_with(|| shown(snapshot, id));
        }
    }
    users
}

/// A name of an image, or its ID where it has none.
fn shown(snapshot: &Snapshot, id: &Digest) -> String {
    let name = snapshot.names.iter().find(|name| name.image == *id);
    name.and_then(|name| Some(name.name.parse::<crate::Reference>().ok()?.familiar()))
        .unwrap_or_else(|| id.short().to_owned())
}

fn flaw(image: &str, path: PathBuf) -> Option<Flaw> {
    let image = image.to_owned();
    if !path.exists() {
        return Some(Flaw::Missing { image, path });
    }
    let reason = damage(&path)?;
    Some(Flaw::Damaged { image, path, reason })
}

/// What is wrong with a layer's file, as far as its superblock tells.
fn damage(path: &Path) -> Option<String> {
    let look = || -> std::io::Result<Option<String>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = Vec::new();
        file.take(BLOCK).read_to_end(&mut head)?;
        Ok(match told_blocks(&head) {
            None => Some("it does not begin as an EROFS file system does".to_owned()),
            Some(blocks) if u64::from(blocks) * BLOCK != length => Some(format!(
                "it has {length} bytes and should have {}",
                u64::from(blocks) * BLOCK
            )),
            Some(_) => None,
        })
    };
    look().unwrap_or_else(|error| Some(error.to_string()))
}

fn pile(paths: impl Iterator<Item = PathBuf>) -> Pile {
    paths.fold(Pile::default(), |pile, path| Pile {
        files: pile.files + 1,
        bytes: pile
            .bytes
            .saturating_add(std::fs::metadata(path).map_or(0, |metadata| metadata.len())),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::{Composition, Platform, Store, StoreConfig};

    /// A store with one image of one layer, and the layer's two files.
    async fn store() -> (tempfile::TempDir, Store, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(folder.path())).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(6);
        header.set_cksum();
        archive.append_data(&mut header, "motd", &b"hello\n"[..]).unwrap();
        let composition = Composition {
            base: None,
            platform: Platform::linux(protocol::Architecture::Amd64),
            config: serde_json::json!({}),
            created: String::new(),
            author: String::new(),
            comment: String::new(),
            created_by: String::new(),
            names: vec!["made:latest".parse().unwrap()],
        };
        let archive = archive.into_inner().unwrap();
        store.compose(archive.as_slice(), composition).await.unwrap();
        let layer = store.inner().content.all().unwrap().pop_first().unwrap();
        let (file, recipe) = store.inner().content.files(&layer);
        (folder, store, file, recipe)
    }

    #[tokio::test]
    async fn a_whole_image_has_no_flaw() {
        let (_folder, store, ..) = store().await;
        let expected = Checkup {
            images: 1,
            layers: 1,
            ..Checkup::default()
        };
        assert_eq!(store.check().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_missing_file_is_named_with_the_image_that_needs_it() {
        let (_folder, store, file, recipe) = store().await;
        let flaw = |path| Flaw::Missing {
            image: "made:latest".to_owned(),
            path,
        };
        std::fs::remove_file(&recipe).unwrap();
        assert_eq!(store.check().unwrap().flaws, [flaw(recipe.clone())]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(store.check().unwrap().flaws, [flaw(file), flaw(recipe)]);
    }

    #[tokio::test]
    async fn a_file_that_was_cut_or_overwritten_is_damaged() {
        let (_folder, store, file, _) = store().await;
        let open = OpenOptions::new().write(true).open(&file).unwrap();
        let length = open.metadata().unwrap().len();
        open.set_len(length - 1).unwrap();
        let text = store.check().unwrap().flaws[0].to_string();
        let expected = format!("it has {} bytes and should have {length}", length - 1);
        assert!(text.contains(&expected), "{text}");
        open.set_len(0).unwrap();
        let text = store.check().unwrap().flaws[0].to_string();
        assert!(text.contains("does not begin as an EROFS"), "{text}");
    }

    #[tokio::test]
    async fn what_nobody_needs_is_counted() {
        let (folder, store, ..) = store().await;
        let stray = format!("layers/{}.erofs", "0".repeat(64));
        std::fs::write(folder.path().join(stray), [0; 100]).unwrap();
        std::fs::write(folder.path().join("ingest").join("1".repeat(64)), [0; 10]).unwrap();
        let checkup = store.check().unwrap();
        assert_eq!(checkup.flaws, []);
        assert_eq!(checkup.unneeded, Pile { files: 1, bytes: 100 });
        assert_eq!(checkup.partial, Pile { files: 1, bytes: 10 });
    }
}
