//! The first inodes (ext4: "Index Nodes", "The Contents of inode.i_block"): the reserved ones, of which the
//! root directory and the journal are in use, and `lost+found`. Each file is one extent.

use std::fs::File;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::checksum::Checksum;
use crate::layout::{INODE_BYTES, LOST_AND_FOUND_BLOCKS, Layout};
use crate::{block, sys};

/// Inode numbers begin at 1.
pub(crate) const ROOT: u32 = 2;
pub(crate) const JOURNAL: u32 = 8;
/// The first inode that is not reserved.
pub(crate) const LOST_AND_FOUND: u32 = 11;
/// How many inodes the new file system has in use.
pub(crate) const IN_USE: u32 = LOST_AND_FOUND;
/// How many of them are directories.
pub(crate) const DIRECTORIES: u16 = 2;
/// Bytes of the fields beyond the first 128 that this writes.
pub(crate) const EXTRA_BYTES: u16 = 32;

const MODE_DIRECTORY: u16 = 0o040_000;
const MODE_REGULAR: u16 = 0o100_000;
const FLAG_EXTENTS: u32 = 0x8_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
/// Extents that fit into an inode.
const EXTENTS_MAX: u16 = 4;

/// Seconds since 1970: 34 bits of them are kept, up to the year 2446.
#[derive(Clone, Copy)]
pub(crate) struct Timestamp {
    pub(crate) low: u32,
    pub(crate) high: u8,
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            low: seconds as u32,
            high: (seconds >> 32) as u8,
        }
    }
}

/// `i_block`: the root of an extent tree that is its own leaf.
#[derive(FromZeros, IntoBytes, Immutable, Clone)]
#[repr(C)]
pub(crate) struct ExtentRoot {
    magic: U16,
    entries: U16,
    max: U16,
    depth: U16,
    generation: U32,
    logical_block: U32,
    length: U16,
    start_high: U16,
    start_low: U32,
    unused: [u8; 36],
}

impl ExtentRoot {
    /// A file of `blocks` (at most 32768) blocks from `start` on.
    pub(crate) fn new(start: u64, blocks: u32) -> Self {
        Self {
            magic: EXTENT_MAGIC.into(),
            entries: 1.into(),
            max: EXTENTS_MAX.into(),
            length: (blocks as u16).into(),
            start_high: ((start >> 32) as u16).into(),
            start_low: (start as u32).into(),
            ..Self::new_zeroed()
        }
    }
}

#[derive(FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Inode {
    mode: U16,
    uid: U16,
    size_low: U32,
    accessed: U32,
    changed: U32,
    modified: U32,
    deleted: U32,
    gid: U16,
    links: U16,
    sectors_low: U32,
    flags: U32,
    version: U32,
    extents: ExtentRoot,
    generation: U32,
    file_acl: U32,
    size_high: U32,
    fragment: U32,
    sectors_high: U16,
    file_acl_high: U16,
    uid_high: U16,
    gid_high: U16,
    checksum_low: U16,
    reserved: U16,
    extra_bytes: U16,
    checksum_high: U16,
    changed_extra: U32,
    modified_extra: U32,
    accessed_extra: U32,
    created: U32,
    created_extra: U32,
    version_high: U32,
    project: U32,
    attributes: [u8; 96],
}

const _: () = assert!(size_of::<Inode>() == INODE_BYTES as usize && size_of::<ExtentRoot>() == 60);

impl Inode {
    /// A file of one extent. Its size fits 32 bits: the journal is the largest.
    fn file(mode: u16, links: u16, start: u64, blocks: u32, time: Timestamp) -> Self {
        let epoch = U32::from(u32::from(time.high) & 3);
        let low = U32::from(time.low);
        Self {
            mode: mode.into(),
            links: links.into(),
            size_low: (blocks * block::BYTES as u32).into(),
            sectors_low: (blocks * (block::BYTES as u32 / 512)).into(),
            flags: FLAG_EXTENTS.into(),
            extents: ExtentRoot::new(start, blocks),
            extra_bytes: EXTRA_BYTES.into(),
            accessed: low,
            changed: low,
            modified: low,
            created: low,
            accessed_extra: epoch,
            changed_extra: epoch,
            modified_extra: epoch,
            created_extra: epoch,
            ..Self::new_zeroed()
        }
    }

    /// The bytes on disk of inode `number`.
    fn seal(mut self, number: u32, seed: Checksum) -> Self {
        let seed = seed
            .update(&number.to_le_bytes())
            .update(self.generation.as_bytes());
        let (low, high) = seed.update(self.as_bytes()).halves();
        self.checksum_low = low.into();
        // A reserved inode has no extra fields, so the upper half has no place.
        if self.extra_bytes != 0 {
            self.checksum_high = high.into();
        }
        self
    }
}

pub(crate) fn write(file: &File, layout: &Layout, seed: Checksum, time: Timestamp) -> io::Result<()> {
    let mut table = Vec::with_capacity(IN_USE as usize * usize::from(INODE_BYTES));
    for number in 1..=IN_USE {
        let inode = match number {
            // Linked by its own `.` and `..` and by the `..` of lost+found.
            ROOT => Inode::file(MODE_DIRECTORY | 0o755, 3, layout.root_directory(), 1, time),
            LOST_AND_FOUND => {
                let (start, blocks) = (layout.lost_and_found(), LOST_AND_FOUND_BLOCKS);
                Inode::file(MODE_DIRECTORY | 0o700, 2, start, blocks, time)
            }
            JOURNAL => Inode::file(
                MODE_REGULAR | 0o600,
                1,
                layout.journal(),
                layout.journal_blocks,
                time,
            ),
            _ => Inode::new_zeroed(),
        };
        table.extend(inode.seal(number, seed).as_bytes());
    }
    sys::write_all_at(file, &table, block::offset(layout.inode_table(0)))
}
