//! From an uncompressed tar archive to an EROFS file and a recipe.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::recipe::RecipeWriter;
use super::tree::{LeafKind, Spot, Tree, refused};
use crate::config::Limits;
use crate::digest::Digest;
use crate::erofs::{FileType, Writer, Xattrs};
use crate::error::LayerError;
use crate::tar::{Entry, EntryKind, Reader};

/// What a whiteout's name begins with (OCI image-spec, `layer.md`).
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout that hides all of its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names that AUFS kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// A layer that was turned into files. They are not yet synced.
#[derive(Debug)]
pub(crate) struct Converted {
    /// Digest of the archive.
    pub(crate) diff_id: Digest,
    /// Length of the archive in bytes.
    pub(crate) tar_length: u64,
    /// Bytes of the files in it, a file of several names once.
    pub(crate) content: u64,
    /// Length of the EROFS file in bytes.
    pub(crate) length: u64,
    pub(crate) image: File,
    pub(crate) recipe: File,
}

/// Reads a whole archive from `source` and writes `image` and `recipe`, two empty files; `folder` is where they
/// are. Blocks on both ends.
pub(crate) fn convert(
    source: impl BufRead,
    image: File,
    recipe: File,
    folder: &Path,
    limits: &Limits,
) -> Result<Converted, LayerError> {
    let mut layer = Layer {
        tar: Reader::new(Hashing {
            source,
            hasher: Sha256::new(),
            length: 0,
        }),
        tree: Tree::new(limits),
        writer: Writer::new(image, folder, limits.layer, limits.free_disk),
        recipe: RecipeWriter::new(recipe)?,
        content: 0,
    };
    while let Some(entry) = layer.tar.next()? {
        layer.recipe.literal(&layer.tar.take_raw())?;
        layer.entry(entry)?;
    }
    layer.finish()
}

struct Layer<R> {
    tar: Reader<Hashing<R>>,
    tree: Tree,
    writer: Writer,
    recipe: RecipeWriter,
    /// Bytes of files.
    content: u64,
}

impl<R: BufRead> Layer<R> {
    fn entry(&mut self, entry: Entry) -> Result<(), LayerError> {
        let mut xattrs = Xattrs::default();
        for (name, value) in &entry.xattrs {
            if !xattrs.set(name, value) {
                return Err(refused(&entry.name, "has an extended attribute that is too long"));
            }
        }
        let Some(spot) = self.tree.locate(&entry.name)? else {
            return if entry.kind == EntryKind::Directory {
                self.tree.add_directory(None, entry.attributes, xattrs)
            } else {
                Err(refused(&entry.name, "is the root of the layer but not a folder"))
            };
        };
        if spot.name().starts_with(WHITEOUT) {
            return self.whiteout(entry, spot);
        }
        match entry.kind {
            EntryKind::Directory => self.tree.add_directory(Some(spot), entry.attributes, xattrs),
            EntryKind::Regular => self.regular(entry, spot, &xattrs),
            EntryKind::HardLink => {
                let leaf = self.tree.link_target(&entry.name, &entry.link_name)?;
                self.tree.link(spot, leaf)
            }
            EntryKind::Symlink => {
                if entry.link_name.is_empty() || entry.link_name.len() >= crate::erofs::BLOCK_LENGTH {
                    return Err(refused(
                        &entry.name,
                        "is a symbolic link whose target is empty or too long",
                    ));
                }
                let nid = self.writer.symlink(entry.attributes, &xattrs, &entry.link_name)?;
                self.tree
                    .add_leaf(spot, nid, LeafKind::Symlink(entry.link_name.into()))
            }
            EntryKind::Character | EntryKind::Block | EntryKind::Fifo => {
                let file_type = match entry.kind {
                    EntryKind::Character => FileType::Character,
                    EntryKind::Block => FileType::Block,
                    _ => FileType::Fifo,
                };
                let device = crate::erofs::encode_device(entry.device.0, entry.device.1);
                let nid = self
                    .writer
                    .special(file_type, entry.attributes, &xattrs, device)?;
                self.tree.add_leaf(spot, nid, LeafKind::Other(file_type))
            }
        }
    }

    fn regular(&mut self, entry: Entry, spot: Spot, xattrs: &Xattrs) -> Result<(), LayerError> {
        self.content = self.content.saturating_add(entry.content());
        let mut data = self.tar.data();
        let placed = match &entry.sparse {
            None => self
                .writer
                .file(entry.attributes, xattrs, entry.size, &mut data)?,
            Some((length, pieces)) => {
                self.writer
                    .sparse_file(entry.attributes, xattrs, *length, pieces, &mut data)?
            }
        };
        for extent in placed.extents {
            self.recipe.extent(extent)?;
        }
        self.tree
            .add_leaf(spot, placed.nid, LeafKind::Other(FileType::Regular))
    }

    /// A whiteout becomes what overlayfs knows: a device 0/0, or the attribute that makes a folder opaque.
    fn whiteout(&mut self, entry: Entry, spot: Spot) -> Result<(), LayerError> {
        if entry.size > 0 {
            let extent = self.writer.blob(entry.size, &mut self.tar.data())?;
            self.recipe.extent(extent)?;
        }
        if spot.name() == OPAQUE {
            self.tree.set_parent_opaque(&spot);
            return Ok(());
        }
        if spot.name().starts_with(AUFS) {
            return Ok(());
        }
        let hidden = spot.name().strip_prefix(WHITEOUT).unwrap_or_default();
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused(&entry.name, "is a whiteout of no name"));
        }
        let spot = spot.renamed(hidden);
        if self.tree.needs_whiteout(&spot) {
            let xattrs = Xattrs::default();
            let nid = self
                .writer
                .special(FileType::Character, entry.attributes, &xattrs, 0)?;
            self.tree.add_leaf(spot, nid, LeafKind::Whiteout)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Converted, LayerError> {
        self.tar.drain(|raw| Ok(self.recipe.literal(raw)?))?;
        let Hashing {
            hasher,
            length: tar_length,
            ..
        } = self.tar.into_source();
        self.tree.finish(&mut self.writer)?;
        let (image, length) = self.writer.finish()?;
        let recipe = self.recipe.finish(tar_length)?;
        Ok(Converted {
            diff_id: Digest::from_hasher(hasher),
            tar_length,
            content: self.content,
            length,
            image,
            recipe,
        })
    }
}

/// Counts and hashes what is read.
struct Hashing<R> {
    source: R,
    hasher: Sha256,
    length: u64,
}

impl<R: BufRead> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer
            .iter_mut()
            .zip(available)
            .for_each(|(slot, byte)| *slot = *byte);
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        // What was given out is still in the buffer of the source until it is consumed there.
        if let Ok(bytes) = self.source.fill_buf() {
            self.hasher.update(bytes.get(..length).unwrap_or(bytes));
        }
        self.source.consume(length);
        self.length = self.length.saturating_add(length as u64);
    }
}
