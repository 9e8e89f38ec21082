//! Block group descriptors and bitmaps (ext4: "Block Group Descriptors", "Block and inode Bitmaps").
//!
//! A bitmap is written only where it differs from what the layout implies: the block bitmaps of groups that
//! hold tables of others, and both bitmaps of group 0. Every other group is marked uninitialised.

use std::fs::File;
use std::io;

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::block::{self, Block};
use crate::checksum::Checksum;
use crate::inode;
use crate::layout::{BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, Layout};
use crate::sys;

/// The inode bitmap and table are unused and not initialised.
const INODE_UNINITIALIZED: u16 = 1;
/// The block bitmap is not initialised.
const BLOCK_UNINITIALIZED: u16 = 2;
/// The inode table reads as zeros.
const INODE_TABLE_ZEROED: u16 = 4;

#[derive(FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Descriptor {
    block_bitmap: U32,
    inode_bitmap: U32,
    inode_table: U32,
    free_blocks: U16,
    free_inodes: U16,
    directories: U16,
    flags: U16,
    exclude_bitmap: U32,
    block_bitmap_checksum: U16,
    inode_bitmap_checksum: U16,
    unused_inodes: U16,
    checksum: U16,
    block_bitmap_high: U32,
    inode_bitmap_high: U32,
    inode_table_high: U32,
    free_blocks_high: U16,
    free_inodes_high: U16,
    directories_high: U16,
    unused_inodes_high: U16,
    exclude_bitmap_high: U32,
    block_bitmap_checksum_high: U16,
    inode_bitmap_checksum_high: U16,
    reserved: U32,
}

const _: () = assert!(size_of::<Descriptor>() == DESCRIPTOR_BYTES as usize);

/// Writes the bitmaps and returns the table of descriptors, in whole blocks.
pub(crate) fn write(file: &File, layout: &Layout, seed: Checksum) -> io::Result<Vec<u8>> {
    let mut table = Vec::with_capacity(layout.descriptor_table_bytes());
    for group in layout.groups() {
        let mut descriptor = describe(layout, group);
        if descriptor.flags.get() & BLOCK_UNINITIALIZED == 0 {
            // What lies beyond the end of the last group counts as in use.
            let bitmap = bitmap(layout.used_blocks(group), layout.group_blocks(group));
            sys::write_all_at(file, &bitmap, block::offset(layout.block_bitmap(group)))?;
            let (low, high) = seed.update(&bitmap).halves();
            (
                descriptor.block_bitmap_checksum,
                descriptor.block_bitmap_checksum_high,
            ) = (low.into(), high.into());
        }
        if descriptor.flags.get() & INODE_UNINITIALIZED == 0 {
            let bitmap = bitmap(inode::IN_USE, layout.inodes_per_group);
            sys::write_all_at(file, &bitmap, block::offset(layout.inode_bitmap(group)))?;
            // Unlike the block bitmap's, this checksum leaves the padding out.
            let covered = bitmap
                .get(..layout.inodes_per_group as usize / 8)
                .unwrap_or(&bitmap);
            let (low, high) = seed.update(covered).halves();
            (
                descriptor.inode_bitmap_checksum,
                descriptor.inode_bitmap_checksum_high,
            ) = (low.into(), high.into());
        }
        let checksum = seed.update(&group.to_le_bytes()).update(descriptor.as_bytes());
        descriptor.checksum = checksum.halves().0.into();
        table.extend(descriptor.as_bytes());
    }
    table.resize(layout.descriptor_table_bytes(), 0);
    Ok(table)
}

/// The descriptor of a group, its checksums not yet filled in.
fn describe(layout: &Layout, group: u32) -> Descriptor {
    let (block_bitmap, inode_bitmap) = (layout.block_bitmap(group), layout.inode_bitmap(group));
    let inode_table = layout.inode_table(group);
    let free_blocks = layout.group_blocks(group) - layout.used_blocks(group);
    // The kernel marks a group's superblock and own tables by itself. The last group it never marks so: its
    // end is where disks differ.
    let implied = layout.table_blocks(group) == 0 && group + 1 != layout.group_count;
    let mut flags = INODE_TABLE_ZEROED | if implied { BLOCK_UNINITIALIZED } else { 0 };
    let (mut used_inodes, mut directories) = (0, 0);
    if group == 0 {
        (used_inodes, directories) = (inode::IN_USE, inode::DIRECTORIES);
    } else {
        flags |= INODE_UNINITIALIZED;
    }
    // At most 8192 inodes and 32768 blocks: neither needs its upper half.
    let free_inodes = (layout.inodes_per_group - used_inodes) as u16;
    Descriptor {
        block_bitmap: (block_bitmap as u32).into(),
        block_bitmap_high: ((block_bitmap >> 32) as u32).into(),
        inode_bitmap: (inode_bitmap as u32).into(),
        inode_bitmap_high: ((inode_bitmap >> 32) as u32).into(),
        inode_table: (inode_table as u32).into(),
        inode_table_high: ((inode_table >> 32) as u32).into(),
        free_blocks: (free_blocks as u16).into(),
        free_inodes: free_inodes.into(),
        directories: directories.into(),
        unused_inodes: free_inodes.into(),
        flags: flags.into(),
        ..Descriptor::new_zeroed()
    }
}

/// A bitmap whose bits below `used` and from `end` on are set.
fn bitmap(used: u32, end: u32) -> Block {
    let mut block = [0; block::BYTES];
    for (byte, first) in block.iter_mut().zip((0..BLOCKS_PER_GROUP).step_by(8)) {
        let low = used.saturating_sub(first).min(8);
        let high = end.saturating_sub(first).min(8);
        *byte = (!(u16::MAX << low) | (u16::MAX << high)) as u8;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bitmap_has_a_bit_for_each_block_in_use_or_beyond_the_end(
            used in 0..=BLOCKS_PER_GROUP, end in 0..=BLOCKS_PER_GROUP, bit in 0..BLOCKS_PER_GROUP,
        ) {
            let set = bitmap(used, end)[bit as usize / 8] & (1 << (bit % 8)) != 0;
            prop_assert_eq!(set, bit < used || bit >= end);
        }
    }
}
