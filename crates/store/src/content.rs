//! Layer files on disk.
//!
//! ```text
//! layers/<hex of diff ID>.erofs     the layer; that it is there means that it is whole
//! layers/<hex of diff ID>.recipe    how to make its archive again; put in place before the layer
//! ingest/<hex of digest>            a download that was broken off, to be taken up again
//! tmp/                              files in the making; emptied at open
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use crate::digest::Digest;
use crate::error::StoreError;
use crate::image::ImageLayer;
use crate::layer::{Converted, TarReader};
use crate::sys;

/// Broken-off downloads that are kept.
const MAX_PARTIALS: usize = 32;
/// How long a broken-off pull can be taken up again.
const MAX_LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const IMAGE: &str = "erofs";
const RECIPE: &str = "recipe";

/// The folders of a store.
#[derive(Debug)]
pub(crate) struct Content {
    layers: PathBuf,
    partials: PathBuf,
    temporary: PathBuf,
}

/// Two files in the making; gone when dropped.
pub(crate) struct Draft {
    image: NamedTempFile,
    recipe: NamedTempFile,
}

impl Content {
    /// Makes the folders, empties `tmp` and forgets old downloads.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let content = Self {
            layers: root.join("layers"),
            partials: root.join("ingest"),
            temporary: root.join("tmp"),
        };
        for folder in [&content.layers, &content.partials, &content.temporary] {
            fs::create_dir_all(folder).map_err(|error| StoreError::io(folder, error))?;
        }
        for path in files_in(&content.temporary)? {
            remove(&path)?;
        }
        content.forget_old_partials()?;
        Ok(content)
    }

    /// The layer, if it is in the store.
    pub(crate) fn layer(&self, diff_id: &Digest) -> Option<ImageLayer> {
        let path = self.path(diff_id, IMAGE);
        let length = fs::metadata(&path).ok()?.len();
        Some(ImageLayer {
            diff_id: diff_id.clone(),
            path,
            length,
        })
    }

    /// The layer's place and length even if it is missing.
    pub(crate) fn layer_or_gap(&self, diff_id: &Digest) -> ImageLayer {
        self.layer(diff_id).unwrap_or_else(|| ImageLayer {
            diff_id: diff_id.clone(),
            path: self.path(diff_id, IMAGE),
            length: 0,
        })
    }

    /// The layer's uncompressed archive.
    pub(crate) fn archive(&self, diff_id: &Digest) -> Result<TarReader, StoreError> {
        let open = |extension| {
            let path = self.path(diff_id, extension);
            File::open(&path).map_err(|error| StoreError::io(path, error))
        };
        let (recipe, image) = (open(RECIPE)?, open(IMAGE)?);
        TarReader::new(recipe, image).map_err(|error| StoreError::io(self.path(diff_id, RECIPE), error))
    }

    /// Two new files.
    pub(crate) fn draft(&self) -> Result<Draft, StoreError> {
        let file =
            || NamedTempFile::new_in(&self.temporary).map_err(|error| StoreError::io(&self.temporary, error));
        Ok(Draft {
            image: file()?,
            recipe: file()?,
        })
    }

    /// A file in `tmp` for data on the way, gone when dropped.
    pub(crate) fn scratch(&self) -> Result<NamedTempFile, StoreError> {
        NamedTempFile::new_in(&self.temporary).map_err(|error| StoreError::io(&self.temporary, error))
    }

    /// Where files in the making are.
    pub(crate) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Puts a converted layer in its place; when this returns, it survives a power cut.
    pub(crate) fn commit(&self, draft: Draft, converted: &Converted) -> Result<ImageLayer, StoreError> {
        let diff_id = &converted.diff_id;
        let keep = |draft: NamedTempFile, file: &File, extension| {
            let path = self.path(diff_id, extension);
            file.sync_all().map_err(|error| StoreError::io(&path, error))?;
            draft
                .persist(&path)
                .map_err(|error| StoreError::io(&path, error.error))?;
            Ok::<_, StoreError>(path)
        };
        keep(draft.recipe, &converted.recipe, RECIPE)?;
        let path = keep(draft.image, &converted.image, IMAGE)?;
        sys::sync_folder(&self.layers).map_err(|error| StoreError::io(&self.layers, error))?;
        Ok(ImageLayer {
            diff_id: diff_id.clone(),
            path,
            length: converted.length,
        })
    }

    /// Deletes a layer. The layer itself goes first, so that no recipe is ever missing.
    pub(crate) fn delete(&self, diff_id: &Digest) -> Result<(), StoreError> {
        remove(&self.path(diff_id, IMAGE))?;
        remove(&self.path(diff_id, RECIPE))
    }

    /// Where a layer and its recipe are, or would be.
    pub(crate) fn files(&self, diff_id: &Digest) -> (PathBuf, PathBuf) {
        (self.path(diff_id, IMAGE), self.path(diff_id, RECIPE))
    }

    /// The downloads that broke off.
    pub(crate) fn partials(&self) -> Result<Vec<PathBuf>, StoreError> {
        files_in(&self.partials)
    }

    /// Every layer that has a file.
    pub(crate) fn all(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let digest = |path: &PathBuf| format!("sha256:{}", path.file_stem()?.to_str()?).parse().ok();
        Ok(files_in(&self.layers)?.iter().filter_map(digest).collect())
    }

    /// Deletes layers that are not `needed` and have not been touched for long; younger ones may be what a pull
    /// that was killed had finished.
    pub(crate) fn forget_old_layers(&self, needed: &BTreeSet<Digest>) -> Result<(), StoreError> {
        for layer in self.all()?.difference(needed) {
            if !is_young(&self.path(layer, IMAGE)) {
                self.delete(layer)?;
            }
        }
        Ok(())
    }

    /// The file of a download, with what an earlier one left, to read and append.
    pub(crate) fn partial(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.partials.join(digest.hex());
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path);
        file.map_err(|error| StoreError::io(path, error))
    }

    /// Forgets a download.
    pub(crate) fn remove_partial(&self, digest: &Digest) -> Result<(), StoreError> {
        remove(&self.partials.join(digest.hex()))
    }

    fn forget_old_partials(&self) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        for path in files_in(&self.partials)? {
            if is_young(&path) {
                kept.push((
                    fs::metadata(&path).and_then(|metadata| metadata.modified()).ok(),
                    path,
                ));
            } else {
                remove(&path)?;
            }
        }
        kept.sort();
        kept.iter()
            .rev()
            .skip(MAX_PARTIALS)
            .try_for_each(|(_, path)| remove(path))
    }

    fn path(&self, diff_id: &Digest, extension: &str) -> PathBuf {
        self.layers.join(diff_id.hex()).with_extension(extension)
    }
}

impl Draft {
    /// Handles to the two files: image, recipe.
    pub(crate) fn files(&self) -> io::Result<(File, File)> {
        Ok((
            self.image.as_file().try_clone()?,
            self.recipe.as_file().try_clone()?,
        ))
    }
}

fn is_young(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| {
        SystemTime::now().duration_since(modified).unwrap_or_default() < MAX_LEFTOVER_AGE
    })
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error| StoreError::io(folder, error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path, error)),
        _ => Ok(()),
    }
}
