//! Where everything lies: block groups, flexible block groups, and the first free blocks of group 0.
//!
//! A group is 32768 blocks, what a bitmap of one block covers. Groups with a copy of the superblock begin
//! with it, then the descriptors of all groups. The first group of every 16 goes on with the block bitmaps,
//! the inode bitmaps and the inode tables of the 16. In group 0 the root directory, `lost+found` and the
//! journal follow.

use std::ops::Range;

use crate::{FormatError, block};

/// The smallest disk, in bytes.
pub const MIN_BYTES: u64 = 32 << 20;
/// The largest disk, in bytes: block numbers of 32 bits, which also limits what an extent can point to.
pub const MAX_BYTES: u64 = 16 << 40;

/// Blocks of a group: the bits of a bitmap block.
pub(crate) const BLOCKS_PER_GROUP: u32 = 8 * block::BYTES as u32;
/// Groups whose tables lie together, as a power of two.
pub(crate) const LOG_GROUPS_PER_FLEX: u8 = 4;
pub(crate) const INODE_BYTES: u16 = 256;
pub(crate) const DESCRIPTOR_BYTES: u16 = 64;
/// `lost+found` has room from the start, for e2fsck must not allocate on a damaged file system.
pub(crate) const LOST_AND_FOUND_BLOCKS: u32 = 4;

/// One inode for so many bytes of disk: mke2fs's own ratio, fit for the small files of container images.
const BYTES_PER_INODE: u64 = 16384;
const INODES_PER_BLOCK: u32 = block::BYTES as u32 / INODE_BYTES as u32;
/// A last group with less than this to give is not worth having.
const MIN_FREE_OF_GROUP: u32 = 50;

/// The geometry of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Blocks of the file system.
    pub(crate) blocks: u64,
    /// Number of block groups.
    pub(crate) group_count: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) journal_blocks: u32,
    descriptor_blocks: u32,
}

impl Layout {
    pub(crate) fn new(bytes: u64) -> Result<Self, FormatError> {
        if !(MIN_BYTES..=MAX_BYTES).contains(&bytes) {
            return Err(FormatError::Size(bytes));
        }
        // The largest block number has to fit 32 bits, so the largest disk goes without its last block.
        let blocks = (bytes / block::BYTES as u64).min(u64::from(u32::MAX));
        let layout = Self::of_blocks(blocks);
        let last = layout.group_count.saturating_sub(1);
        let tables = 2 + layout.inode_table_blocks() + layout.backup_blocks(last);
        if last > 0 && layout.group_blocks(last) < tables + MIN_FREE_OF_GROUP {
            return Ok(Self::of_blocks(u64::from(last) * u64::from(BLOCKS_PER_GROUP)));
        }
        Ok(layout)
    }

    fn of_blocks(blocks: u64) -> Self {
        let group_count = blocks.div_ceil(u64::from(BLOCKS_PER_GROUP)) as u32;
        let inodes = blocks * block::BYTES as u64 / BYTES_PER_INODE;
        // At most 8192, for a group holds 128 MiB.
        let inodes_per_group = inodes.div_ceil(u64::from(group_count.max(1))) as u32;
        let descriptors = u64::from(group_count) * u64::from(DESCRIPTOR_BYTES);
        Self {
            blocks,
            group_count,
            inodes_per_group: inodes_per_group.next_multiple_of(INODES_PER_BLOCK),
            journal_blocks: journal_blocks(blocks),
            descriptor_blocks: descriptors.div_ceil(block::BYTES as u64) as u32,
        }
    }

    pub(crate) fn groups(&self) -> Range<u32> {
        0..self.group_count
    }

    /// Number of inodes in the file system; below 2^32, as there are fewer than blocks.
    pub(crate) fn inodes(&self) -> u32 {
        self.group_count.saturating_mul(self.inodes_per_group)
    }

    /// The first block of a group.
    pub(crate) fn group_start(&self, group: u32) -> u64 {
        u64::from(group) * u64::from(BLOCKS_PER_GROUP)
    }

    /// How many blocks a group has: all have the same but the last.
    pub(crate) fn group_blocks(&self, group: u32) -> u32 {
        let rest = self.blocks.saturating_sub(self.group_start(group));
        rest.min(u64::from(BLOCKS_PER_GROUP)) as u32
    }

    /// Whether a group begins with a superblock: 0, 1 and the powers of 3, 5 and 7.
    pub(crate) fn has_superblock(&self, group: u32) -> bool {
        let is_power = |base: u32| {
            let powers = std::iter::successors(Some(1_u32), |power| power.checked_mul(base));
            powers
                .take_while(|&power| power <= group)
                .any(|power| power == group)
        };
        group == 0 || [3, 5, 7].into_iter().any(is_power)
    }

    /// Where the descriptors lie in a group that has a superblock.
    pub(crate) fn descriptors(&self, group: u32) -> u64 {
        self.group_start(group) + 1
    }

    /// Bytes of the table of descriptors, in whole blocks.
    pub(crate) fn descriptor_table_bytes(&self) -> usize {
        self.descriptor_blocks as usize * block::BYTES
    }

    /// Blocks at the start of a group that hold the superblock and the descriptors.
    pub(crate) fn backup_blocks(&self, group: u32) -> u32 {
        if self.has_superblock(group) {
            1 + self.descriptor_blocks
        } else {
            0
        }
    }

    pub(crate) fn inode_table_blocks(&self) -> u32 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    pub(crate) fn block_bitmap(&self, group: u32) -> u64 {
        self.tables(group) + u64::from(Self::index_in_flex(group))
    }

    pub(crate) fn inode_bitmap(&self, group: u32) -> u64 {
        self.tables(group) + u64::from(self.flex_groups(group) + Self::index_in_flex(group))
    }

    pub(crate) fn inode_table(&self, group: u32) -> u64 {
        let bitmaps = 2 * self.flex_groups(group);
        self.tables(group) + u64::from(bitmaps + Self::index_in_flex(group) * self.inode_table_blocks())
    }

    /// The root directory's one block.
    pub(crate) fn root_directory(&self) -> u64 {
        self.group_start(0) + u64::from(self.backup_blocks(0) + self.table_blocks(0))
    }

    /// The first of the blocks of `lost+found`.
    pub(crate) fn lost_and_found(&self) -> u64 {
        self.root_directory() + 1
    }

    /// The first block of the journal.
    pub(crate) fn journal(&self) -> u64 {
        self.lost_and_found() + u64::from(LOST_AND_FOUND_BLOCKS)
    }

    /// How many blocks at the start of a group are in use. No other block of it is.
    pub(crate) fn used_blocks(&self, group: u32) -> u32 {
        let files = if group == 0 {
            1 + LOST_AND_FOUND_BLOCKS + self.journal_blocks
        } else {
            0
        };
        self.backup_blocks(group) + self.table_blocks(group) + files
    }

    /// Blocks of bitmaps and inode tables that lie in a group.
    pub(crate) fn table_blocks(&self, group: u32) -> u32 {
        if Self::index_in_flex(group) == 0 {
            self.flex_groups(group) * (2 + self.inode_table_blocks())
        } else {
            0
        }
    }

    /// Where the bitmaps and inode tables begin that a group's own are among.
    fn tables(&self, group: u32) -> u64 {
        let first = group - Self::index_in_flex(group);
        self.group_start(first) + u64::from(self.backup_blocks(first))
    }

    fn index_in_flex(group: u32) -> u32 {
        group % (1 << LOG_GROUPS_PER_FLEX)
    }

    /// How many groups share the tables with this one.
    fn flex_groups(&self, group: u32) -> u32 {
        let first = group - Self::index_in_flex(group);
        self.group_count
            .saturating_sub(first)
            .min(1 << LOG_GROUPS_PER_FLEX)
    }
}

/// The journal's size by the disk's: it has to fit group 0, and 64 MiB hold some seconds of a busy guest.
fn journal_blocks(blocks: u64) -> u32 {
    const MIB: u32 = (1 << 20) / block::BYTES as u32;
    match blocks / u64::from(MIB) {
        0..128 => 4 * MIB,
        128..1024 => 16 * MIB,
        1024..2048 => 32 * MIB,
        _ => 64 * MIB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn superblock_copies_lie_in_groups_that_are_powers_of_three_five_and_seven() {
        let layout = Layout::new(1 << 40).unwrap();
        let copies: Vec<u32> = (0..400).filter(|&group| layout.has_superblock(group)).collect();
        assert_eq!(copies, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }

    #[test]
    fn a_disk_of_two_gibibytes_and_more_has_a_journal_of_64_mebibytes() {
        assert_eq!(Layout::new(2 << 30).unwrap().journal_blocks, 16384);
        assert_eq!(Layout::new(MAX_BYTES).unwrap().journal_blocks, 16384);
    }

    #[test]
    fn a_size_out_of_bounds_is_refused_with_the_bounds() {
        for bytes in [0, MIN_BYTES - 1, MAX_BYTES + 1, u64::MAX] {
            let error = Layout::new(bytes).unwrap_err().to_string();
            assert!(error.contains(&MIN_BYTES.to_string()), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_in_use_fits_every_group(bytes in MIN_BYTES..=MAX_BYTES) {
            let layout = Layout::new(bytes).unwrap();
            for group in layout.groups() {
                prop_assert!(layout.used_blocks(group) < layout.group_blocks(group));
            }
        }

        #[test]
        fn nearly_all_of_the_disk_is_used(bytes in MIN_BYTES..=MAX_BYTES) {
            let layout = Layout::new(bytes).unwrap();
            let unused = bytes - layout.blocks * block::BYTES as u64;
            prop_assert!(unused < 16 << 20, "{unused} bytes are left over");
        }
    }
}
