//! The layer disk: a large read-only address space in which files appear and disappear while the guest runs.
//!
//! Each mapped file takes an extent that begins at a whole MiB and is as long as the file, rounded up to 4 KiB with
//! zeroes. Addresses are handed out upwards and used again only when the space is at its end, so that the guest's
//! caches of an extent that is gone are never taken for another layer. Reading where no file is mapped is an I/O
//! error, and so is reading a file that became shorter than it was. The first MiB belongs to no file and is empty:
//! there the guest's kernel looks for a partition table.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Backing, Buffers};
use crate::sys::file::open_read_only;

/// Bytes of the address space.
const CAPACITY: u64 = 16 << 40;
const ALIGNMENT: u64 = 1 << 20;
const BLOCK: u64 = 4096;
/// Mapped files; each holds a file descriptor.
const MAX_FILES: usize = 4096;

/// Where a file lies on the layer disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    /// The file's size, rounded up to 4096.
    pub length: u64,
}

/// Why a layer could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error("cannot open the layer {}: {error}", path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("the layer {} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("the layer {} is empty", path.display())]
    Empty { path: PathBuf },
    #[error("no room on the layer disk for {} ({length} bytes): remove images that are not needed", path.display())]
    NoRoom { path: PathBuf, length: u64 },
    #[error("{MAX_FILES} layers are mapped already, {} is one too many: stop containers first", path.display())]
    TooMany { path: PathBuf },
}

/// Maps and unmaps files, from any thread, while the disk is in use.
#[derive(Clone, Default)]
pub struct Layers(Arc<RwLock<Table>>);

#[derive(Default)]
struct Table {
    by_offset: BTreeMap<u64, Mapped>,
    by_path: HashMap<PathBuf, u64>,
    next: u64,
}

#[derive(Clone)]
struct Mapped {
    file: Arc<File>,
    /// The file's own size.
    size: u64,
    extent: Extent,
}

impl Layers {
    /// An empty address space.
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk that shows it to the guest.
    pub fn disk(&self) -> LayerDisk {
        LayerDisk(self.clone())
    }

    /// Puts the file at `path` on the disk; a path that is mapped already keeps its extent. Does not follow a
    /// symbolic link at `path`.
    pub fn map(&self, path: &Path) -> Result<Extent, LayerError> {
        if let Some(extent) = self.extent(path) {
            return Ok(extent);
        }
        let path = path.to_owned();
        let opened = open_read_only(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return Err(LayerError::Open { path, error }),
        };
        let size = metadata.len();
        if !metadata.is_file() {
            return Err(LayerError::NotAFile { path });
        }
        if size == 0 {
            return Err(LayerError::Empty { path });
        }
        let mut table = self.write();
        // Another thread may have been first.
        if let Some(mapped) = table
            .by_path
            .get(&path)
            .and_then(|offset| table.by_offset.get(offset))
        {
            return Ok(mapped.extent);
        }
        if table.by_offset.len() >= MAX_FILES {
            return Err(LayerError::TooMany { path });
        }
        let room = size
            .checked_next_multiple_of(BLOCK)
            .and_then(|length| Some((table.place(length)?, length)));
        let Some((offset, length)) = room else {
            return Err(LayerError::NoRoom { path, length: size });
        };
        let extent = Extent { offset, length };
        table.by_offset.insert(
            offset,
            Mapped {
                file: Arc::new(file),
                size,
                extent,
            },
        );
        table.by_path.insert(path, offset);
        Ok(extent)
    }

    /// Takes the file away. A read that is under way ends first or fails. `false`: it was not mapped.
    pub fn unmap(&self, path: &Path) -> bool {
        let mut table = self.write();
        match table.by_path.remove(path) {
            Some(offset) => table.by_offset.remove(&offset).is_some(),
            None => false,
        }
    }

    fn extent(&self, path: &Path) -> Option<Extent> {
        let table = self.read();
        let offset = table.by_path.get(path)?;
        Some(table.by_offset.get(offset)?.extent)
    }

    // The table is whole after every statement, so a panic elsewhere does not spoil it.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Finds room for `length` bytes, upwards from the last place, then from the start.
    fn place(&mut self, length: u64) -> Option<u64> {
        let offset = self
            .free_from(self.next.max(ALIGNMENT), length)
            .or_else(|| self.free_from(ALIGNMENT, length))?;
        self.next = (offset + length).next_multiple_of(ALIGNMENT);
        Some(offset)
    }

    fn free_from(&self, start: u64, length: u64) -> Option<u64> {
        let mut offset = start;
        for mapped in self.by_offset.values() {
            let Extent {
                offset: taken,
                length: size,
            } = mapped.extent;
            let end = (taken + size).next_multiple_of(ALIGNMENT);
            if end <= offset {
                continue;
            }
            if offset.checked_add(length)? <= taken {
                break;
            }
            offset = end;
        }
        (offset.checked_add(length)? <= CAPACITY).then_some(offset)
    }

    fn at(&self, offset: u64) -> Option<Mapped> {
        let (_, mapped) = self.by_offset.range(..=offset).next_back()?;
        (offset - mapped.extent.offset < mapped.extent.length).then(|| mapped.clone())
    }
}

/// The layer disk as a block device's content.
pub struct LayerDisk(Layers);

impl Backing for LayerDisk {
    fn capacity(&self) -> u64 {
        CAPACITY
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&self, offset: u64, buffers: &mut Buffers<'_, '_>) -> io::Result<()> {
        if offset.saturating_add(buffers.len() as u64) <= ALIGNMENT {
            buffers.fill_with_zeroes();
            return Ok(());
        }
        // The lock is not held while the file is read: the file stays open through its own reference.
        let mapped = self.0.read().at(offset).ok_or(io::ErrorKind::NotFound)?;
        let Mapped { file, size, extent } = mapped;
        let start = offset - extent.offset;
        // One request stays inside one extent, as the guest maps extents one by one.
        let length = buffers.len() as u64;
        if length > extent.length - start {
            return Err(io::ErrorKind::NotFound.into());
        }
        let from_file = size.saturating_sub(start).min(length);
        buffers.fill_up_to_end(&file, start)?;
        if (buffers.len() as u64) > length - from_file {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffers.fill_with_zeroes();
        Ok(())
    }

    fn write(&self, _offset: u64, _buffers: &mut Buffers<'_, '_>) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write_zeroes(&self, _offset: u64, _length: u64, _unmap: bool) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use super::*;

    #[test]
    fn extents_begin_at_a_mebibyte_and_do_not_overlap() {
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers::new();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        write(&a, vec![1; 5000]).unwrap();
        write(&b, vec![2; 10]).unwrap();
        assert_eq!(
            layers.map(&a).unwrap(),
            Extent {
                offset: ALIGNMENT,
                length: 8192
            }
        );
        assert_eq!(
            layers.map(&b).unwrap(),
            Extent {
                offset: 2 * ALIGNMENT,
                length: 4096
            }
        );
    }

    #[test]
    fn a_path_that_is_mapped_keeps_its_extent() {
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers::new();
        let a = folder.path().join("a");
        write(&a, "a").unwrap();
        assert_eq!(layers.map(&a).unwrap(), layers.map(&a).unwrap());
    }

    #[test]
    fn an_address_is_not_used_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers::new();
        let a = folder.path().join("a");
        write(&a, "a").unwrap();
        let first = layers.map(&a).unwrap();
        assert!(layers.unmap(&a));
        assert!(!layers.unmap(&a));
        assert_ne!(layers.map(&a).unwrap().offset, first.offset);
    }

    #[test]
    fn room_is_found_again_from_the_start_when_the_end_is_reached() {
        let mut table = Table {
            next: CAPACITY - ALIGNMENT,
            ..Table::default()
        };
        assert_eq!(table.place(2 * ALIGNMENT), Some(ALIGNMENT));
        assert_eq!(table.place(CAPACITY + 1), None);
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_folders_and_empty_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layers = Layers::new();
        let (real, link, empty) = (
            folder.path().join("real"),
            folder.path().join("link"),
            folder.path().join("empty"),
        );
        write(&real, "x").unwrap();
        write(&empty, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(layers.map(&link), Err(LayerError::Open { .. })));
        assert!(matches!(
            layers.map(folder.path()),
            Err(LayerError::NotAFile { .. })
        ));
        assert!(matches!(layers.map(&empty), Err(LayerError::Empty { .. })));
    }
}
