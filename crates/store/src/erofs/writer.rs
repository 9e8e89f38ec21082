//! Puts data, inodes and folders into an image as they come.

use std::fs::File;
use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::directory::DirectoryEntries;
use super::inode::{
    INODE_LENGTH, Inode, LINK_COUNT_OFFSET, Layout, ROOT_OFFSET, SLOT, SUPERBLOCK_OFFSET, superblock,
};
use super::sparse::{self, Chunks};
use super::{Attributes, BLOCK, BLOCK_LENGTH, FileType, Xattrs, xattr};
use crate::error::LayerError;

/// Data is collected to this many bytes before it is written.
const PENDING: usize = 256 << 10;
/// Inode blocks that are kept open for more inodes. More fill the space better and cost a block of memory each.
const OPEN_BLOCKS: usize = 16;
/// The free space of the disk is asked for once in this many bytes.
const SPACE_CHECK: u64 = 32 << 20;
const ZEROS: [u8; BLOCK_LENGTH] = [0; BLOCK_LENGTH];

/// A run of bytes in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A file that is in the image.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Its inode number.
    pub(crate) nid: u64,
    /// Where its data went, in order.
    pub(crate) extents: Vec<Extent>,
}

/// A block of inodes with room for more.
struct OpenBlock {
    offset: u64,
    bytes: Vec<u8>,
}

impl OpenBlock {
    fn next_slot(&self) -> usize {
        self.bytes.len().next_multiple_of(SLOT as usize)
    }

    /// Adds what fits, and returns its offset in the image.
    fn add(&mut self, parts: &[&[u8]]) -> u64 {
        self.bytes.resize(self.next_slot(), 0);
        let offset = self.offset + self.bytes.len() as u64;
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        offset
    }
}

/// An image in the making.
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    /// End of what is allocated; a multiple of the block size between two files.
    end: u64,
    /// Data for `end - pending.len()`, not yet written.
    pending: Vec<u8>,
    open: Vec<OpenBlock>,
    inodes: u32,
    limit: u64,
    keep_free: u64,
    unchecked: u64,
}

impl Writer {
    /// An image in an empty file, of at most `limit` bytes, that leaves `keep_free` bytes of the disk free.
    pub(crate) fn new(file: File, path: &Path, limit: u64, keep_free: u64) -> Self {
        // Block numbers have 32 bits, and all ones means a hole.
        let limit = limit.min((u64::from(u32::MAX) - 1) * BLOCK);
        Self {
            file,
            path: path.to_owned(),
            end: BLOCK,
            pending: Vec::with_capacity(PENDING),
            open: Vec::new(),
            inodes: 0,
            limit,
            keep_free,
            unchecked: SPACE_CHECK,
        }
    }

    /// Inode number of the root folder.
    pub(crate) const ROOT: u64 = ROOT_OFFSET / SLOT;

    /// A regular file of exactly `size` bytes of `source`.
    pub(crate) fn file(
        &mut self,
        attributes: Attributes,
        xattrs: &Xattrs,
        size: u64,
        source: &mut impl BufRead,
    ) -> Result<Placed, LayerError> {
        let tail_length = size % BLOCK;
        let start = self.end;
        let whole = Extent {
            offset: start,
            length: size - tail_length,
        };
        self.copy(source, whole.length)?;
        let mut tail = Vec::with_capacity(BLOCK_LENGTH);
        read_tail(source, tail_length as usize, &mut tail)?;
        let xattrs = xattrs.encode();
        let header = INODE_LENGTH + xattrs.len();
        let inline = !tail.is_empty() && header + tail.len() <= BLOCK_LENGTH;
        if !inline {
            self.append(&tail)?;
            self.pad()?;
        }
        let place = if size >= BLOCK || (!inline && size > 0) {
            self.block_number(start)?
        } else {
            0
        };
        let layout = if inline { Layout::InlineTail } else { Layout::Plain };
        let inode = self.inode(layout, FileType::Regular, attributes, &xattrs, size, place);
        let offset = self.place(&[&inode, &xattrs, if inline { &tail } else { &[] }])?;
        let tail_offset = if inline {
            offset + header as u64
        } else {
            start + whole.length
        };
        let extents = [
            whole,
            Extent {
                offset: tail_offset,
                length: tail_length,
            },
        ];
        let extents = extents.into_iter().filter(|extent| extent.length > 0).collect();
        Ok(Placed {
            nid: offset / SLOT,
            extents,
        })
    }

    /// A regular file of `size` bytes with holes: `pieces` say where the bytes of `source` belong in it.
    pub(crate) fn sparse_file(
        &mut self,
        attributes: Attributes,
        xattrs: &Xattrs,
        size: u64,
        pieces: &[Extent],
        source: &mut impl BufRead,
    ) -> Result<Placed, LayerError> {
        let chunks = Chunks::of(size);
        let mut map = vec![sparse::HOLE; usize::try_from(chunks.count()).unwrap_or_default()];
        let mut extents = Vec::with_capacity(pieces.len());
        // Bytes of the file that the chunks begun so far reach up to.
        let mut filled = 0_u64;
        let mut next_chunk = 0;
        if !sparse::are_sound(pieces, size) {
            return Err(LayerError::Limit(
                "a sparse file has overlapping or misplaced pieces".to_owned(),
            ));
        }
        for piece in pieces.iter().filter(|piece| piece.length > 0) {
            let piece_end = piece.offset.saturating_add(piece.length);
            let mut at = piece.offset;
            while at < piece_end {
                let index = chunks.index(at);
                let (chunk_start, chunk_length) = chunks.bounds(index);
                if index >= next_chunk {
                    self.pad_chunk(chunks, next_chunk, filled)?;
                    let number = self.block_number(self.end)?;
                    if let Some(slot) = usize::try_from(index).ok().and_then(|index| map.get_mut(index)) {
                        *slot = number;
                    }
                    filled = chunk_start;
                    next_chunk = index + 1;
                }
                self.zeros(at.saturating_sub(filled))?;
                let length = piece_end.min(chunk_start.saturating_add(chunk_length)) - at;
                extents.push(Extent {
                    offset: self.end,
                    length,
                });
                self.copy(source, length)?;
                at += length;
                filled = at;
            }
        }
        self.pad_chunk(chunks, next_chunk, filled)?;
        let xattrs = xattrs.encode();
        let map: Vec<u8> = map.into_iter().flat_map(u32::to_le_bytes).collect();
        let place = u32::from(chunks.format);
        let inode = self.inode(
            Layout::Chunks,
            FileType::Regular,
            attributes,
            &xattrs,
            size,
            place,
        );
        let offset = self.place(&[&inode, &xattrs, &map])?;
        Ok(Placed {
            nid: offset / SLOT,
            extents,
        })
    }

    /// Fills the chunk before `next` up to its end.
    fn pad_chunk(&mut self, chunks: Chunks, next: u64, filled: u64) -> Result<(), LayerError> {
        match next.checked_sub(1) {
            None => Ok(()),
            Some(last) => {
                let (start, length) = chunks.bounds(last);
                self.zeros(start.saturating_add(length).saturating_sub(filled))
            }
        }
    }

    /// A symbolic link.
    pub(crate) fn symlink(
        &mut self,
        attributes: Attributes,
        xattrs: &Xattrs,
        target: &[u8],
    ) -> Result<u64, LayerError> {
        let xattrs = xattrs.encode();
        let inline = INODE_LENGTH + xattrs.len() + target.len() <= BLOCK_LENGTH;
        let start = self.end;
        if !inline {
            self.append(target)?;
            self.pad()?;
        }
        let place = if inline { 0 } else { self.block_number(start)? };
        let layout = if inline { Layout::InlineTail } else { Layout::Plain };
        let inode = self.inode(
            layout,
            FileType::Symlink,
            attributes,
            &xattrs,
            target.len() as u64,
            place,
        );
        Ok(self.place(&[&inode, &xattrs, if inline { target } else { &[] }])? / SLOT)
    }

    /// A device or FIFO; `device` is the encoded device number.
    pub(crate) fn special(
        &mut self,
        file_type: FileType,
        attributes: Attributes,
        xattrs: &Xattrs,
        device: u32,
    ) -> Result<u64, LayerError> {
        let xattrs = xattrs.encode();
        let inode = self.inode(Layout::Plain, file_type, attributes, &xattrs, 0, device);
        Ok(self.place(&[&inode, &xattrs])? / SLOT)
    }

    /// Bytes that belong to no file, kept so that the archive can be made again.
    pub(crate) fn blob(&mut self, length: u64, source: &mut impl BufRead) -> Result<Extent, LayerError> {
        let extent = Extent {
            offset: self.end,
            length,
        };
        self.copy(source, length)?;
        self.pad()?;
        Ok(extent)
    }

    /// Keeps the place of a folder whose entries take `length` bytes; its number is needed by others before its
    /// own entries are known. The root needs none.
    pub(crate) fn reserve_directory(&mut self, xattrs: &Xattrs, length: u64) -> Result<u64, LayerError> {
        let header = INODE_LENGTH + xattrs.encode().len();
        let inline = inline_tail(header, length, BLOCK_LENGTH);
        Ok(self.place(&[&vec![0; header + inline]])? / SLOT)
    }

    /// Writes a folder at the place that was kept for it.
    pub(crate) fn directory(
        &mut self,
        nid: u64,
        attributes: Attributes,
        xattrs: &Xattrs,
        links: u32,
        entries: &DirectoryEntries<'_>,
    ) -> Result<(), LayerError> {
        let xattrs = xattrs.encode();
        let header = INODE_LENGTH + xattrs.len();
        let room = if nid == Self::ROOT {
            (BLOCK - ROOT_OFFSET) as usize
        } else {
            BLOCK_LENGTH
        };
        if nid == Self::ROOT && header > room {
            return Err(LayerError::Limit(
                "its root folder has more extended attributes than fit".to_owned(),
            ));
        }
        let length = entries.length();
        let inline = inline_tail(header, length, room);
        let whole = length - inline as u64;
        let start = self.end;
        let mut tail = Vec::new();
        let mut written = 0;
        entries.blocks(|block| {
            if written < whole {
                written += block.len() as u64;
                self.append(block)
            } else {
                tail.extend_from_slice(block);
                Ok(())
            }
        })?;
        self.pad()?;
        let place = if whole > 0 { self.block_number(start)? } else { 0 };
        let layout = if inline > 0 {
            Layout::InlineTail
        } else {
            Layout::Plain
        };
        self.inodes = self.inodes.saturating_add(1);
        let inode = Inode {
            layout,
            xattr_count: xattr::count(&xattrs),
            file_type: FileType::Directory,
            attributes,
            size: length,
            place,
            number: self.inodes,
            links,
        };
        self.patch(nid * SLOT, &[&inode.encode(), xattrs.as_slice(), &tail].concat())
    }

    /// Sets the link count of an inode that is in the image.
    pub(crate) fn set_links(&mut self, nid: u64, links: u32) -> Result<(), LayerError> {
        self.patch(nid * SLOT + LINK_COUNT_OFFSET, &links.to_le_bytes())
    }

    /// Completes the image. The file is not yet synced.
    pub(crate) fn finish(mut self) -> Result<(File, u64), LayerError> {
        self.flush()?;
        for block in std::mem::take(&mut self.open) {
            self.write_at(block.offset, &block.bytes)?;
            // erofs-utils read the header of attributes behind an inode that has none: the image goes on behind the
            // last one.
            let room = BLOCK_LENGTH.saturating_sub(block.bytes.len());
            if block.offset.saturating_add(BLOCK) == self.end && room < xattr::HEADER {
                self.grow(BLOCK)?;
            }
        }
        let blocks = self.block_number(self.end)?;
        let inodes = u64::from(self.inodes);
        self.write_at(SUPERBLOCK_OFFSET, &superblock(blocks, inodes))?;
        self.file.set_len(self.end)?;
        Ok((self.file, self.end))
    }

    fn inode(
        &mut self,
        layout: Layout,
        file_type: FileType,
        attributes: Attributes,
        xattrs: &[u8],
        size: u64,
        place: u32,
    ) -> [u8; INODE_LENGTH] {
        self.inodes = self.inodes.saturating_add(1);
        let xattr_count = xattr::count(xattrs);
        let number = self.inodes;
        Inode {
            layout,
            xattr_count,
            file_type,
            attributes,
            size,
            place,
            number,
            links: 1,
        }
        .encode()
    }

    /// Puts an inode and what lies behind it into a block with room, so that it does not straddle two blocks
    /// unless it is longer than one. Returns its offset, a multiple of [`SLOT`].
    fn place(&mut self, parts: &[&[u8]]) -> Result<u64, LayerError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > BLOCK_LENGTH {
            let offset = self.end;
            for part in parts {
                self.append(part)?;
            }
            self.pad()?;
            return Ok(offset);
        }
        let fitting = self
            .open
            .iter_mut()
            .filter(|block| block.next_slot() + length <= BLOCK_LENGTH);
        let best = fitting.max_by_key(|block| block.bytes.len());
        if let Some(block) = best {
            return Ok(block.add(parts));
        }
        let mut block = self.open_block()?;
        let offset = block.add(parts);
        self.open.push(block);
        Ok(offset)
    }

    /// A new block for inodes; the fullest one is written when there are too many.
    fn open_block(&mut self) -> Result<OpenBlock, LayerError> {
        self.flush()?;
        if self.open.len() >= OPEN_BLOCKS {
            let fullest = self
                .open
                .iter()
                .enumerate()
                .max_by_key(|(_, block)| block.bytes.len());
            let block = fullest
                .map(|(index, _)| index)
                .map(|index| self.open.swap_remove(index));
            if let Some(block) = block {
                self.write_at(block.offset, &block.bytes)?;
            }
        }
        let offset = self.end;
        self.grow(BLOCK)?;
        Ok(OpenBlock {
            offset,
            bytes: Vec::with_capacity(BLOCK_LENGTH),
        })
    }

    /// Changes bytes that were placed before.
    fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<(), LayerError> {
        let end = offset + bytes.len() as u64;
        for block in &mut self.open {
            let range = usize::try_from(offset.wrapping_sub(block.offset)).unwrap_or(usize::MAX);
            let slots = block
                .bytes
                .get_mut(range..)
                .filter(|slots| slots.len() >= bytes.len());
            if let Some(slots) = slots.filter(|_| end <= block.offset + BLOCK && offset >= block.offset) {
                slots.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
                return Ok(());
            }
        }
        self.flush()?;
        self.write_at(offset, bytes)
    }

    /// Appends exactly `length` bytes of `source`.
    fn copy(&mut self, source: &mut impl BufRead, mut length: u64) -> Result<(), LayerError> {
        while length > 0 {
            let available = source.fill_buf()?;
            if available.is_empty() {
                return Err(LayerError::Truncated);
            }
            let take = available.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            self.append(available.get(..take).unwrap_or_default())?;
            source.consume(take);
            length -= take as u64;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        let start = self.end;
        self.grow(bytes.len() as u64)?;
        if self.pending.is_empty() && bytes.len() >= PENDING {
            return self.write_data(start, bytes);
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PENDING {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn zeros(&mut self, mut length: u64) -> Result<(), LayerError> {
        if length > BLOCK {
            // Not written at all: the end moves, and the file gets a hole.
            self.flush()?;
            let skipped = length - BLOCK;
            self.grow(skipped)?;
            length = BLOCK;
        }
        self.append(ZEROS.get(..length as usize).unwrap_or_default())
    }

    fn pad(&mut self) -> Result<(), LayerError> {
        self.zeros(self.end.next_multiple_of(BLOCK) - self.end)
    }

    fn grow(&mut self, length: u64) -> Result<(), LayerError> {
        let end = self.end.checked_add(length).filter(|end| *end <= self.limit);
        self.end = end.ok_or_else(|| {
            LayerError::Limit(format!(
                "it takes more than the {} bytes that a layer may have",
                self.limit
            ))
        })?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LayerError> {
        let pending = std::mem::take(&mut self.pending);
        let written = self.write_data(self.end - pending.len() as u64, &pending);
        self.pending = pending;
        self.pending.clear();
        written
    }

    /// Writes data, and leaves a hole for zeros.
    fn write_data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), LayerError> {
        if bytes.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            self.write_at(offset, bytes)
        }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), LayerError> {
        self.unchecked = self.unchecked.saturating_add(bytes.len() as u64);
        if self.unchecked >= SPACE_CHECK {
            self.unchecked = 0;
            if fs4::available_space(&self.path)? < self.keep_free.saturating_add(SPACE_CHECK) {
                return Err(LayerError::Io(io::ErrorKind::StorageFull.into()));
            }
        }
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        Ok(())
    }

    fn block_number(&self, offset: u64) -> Result<u32, LayerError> {
        u32::try_from(offset / BLOCK)
            .map_err(|_| LayerError::Limit("it takes more blocks than the format has numbers for".to_owned()))
    }
}

/// How many of a folder's bytes lie behind its inode: the last block, when it fits.
fn inline_tail(header: usize, length: u64, room: usize) -> usize {
    let tail = (length % BLOCK) as usize;
    if header + tail <= room { tail } else { 0 }
}

fn read_tail(source: &mut impl BufRead, length: usize, tail: &mut Vec<u8>) -> Result<(), LayerError> {
    while tail.len() < length {
        let available = source.fill_buf()?;
        if available.is_empty() {
            return Err(LayerError::Truncated);
        }
        let take = available.len().min(length - tail.len());
        tail.extend_from_slice(available.get(..take).unwrap_or_default());
        source.consume(take);
    }
    Ok(())
}
