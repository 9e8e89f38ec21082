//! The blocks of the root directory and of `lost+found` (ext4: "Directory Entries"): linear directories,
//! each block ending in a false entry of 12 bytes that carries the block's checksum.

use std::fs::File;
use std::io;

use crate::block::{self, Block};
use crate::checksum::Checksum;
use crate::inode::{LOST_AND_FOUND, ROOT};
use crate::layout::{LOST_AND_FOUND_BLOCKS, Layout};
use crate::sys;

/// Bytes of the entry that holds the checksum.
const TAIL_BYTES: u16 = 12;
/// The false file type of that entry.
const TAIL_TYPE: u8 = 0xde;
const DIRECTORY_TYPE: u8 = 2;

pub(crate) fn write(file: &File, layout: &Layout, seed: Checksum) -> io::Result<()> {
    let root = [(ROOT, "."), (ROOT, ".."), (LOST_AND_FOUND, "lost+found")];
    sys::write_all_at(
        file,
        &build(ROOT, &root, seed),
        block::offset(layout.root_directory()),
    )?;

    let lost_and_found = [(LOST_AND_FOUND, "."), (ROOT, "..")];
    for index in 0..LOST_AND_FOUND_BLOCKS {
        let entries: &[_] = if index == 0 { &lost_and_found } else { &[] };
        let place = layout.lost_and_found() + u64::from(index);
        sys::write_all_at(file, &build(LOST_AND_FOUND, entries, seed), block::offset(place))?;
    }
    Ok(())
}

/// A directory block of `directory` with subdirectories as entries; none makes one empty entry.
fn build(directory: u32, entries: &[(u32, &str)], seed: Checksum) -> Vec<u8> {
    let mut block = Vec::with_capacity(block::BYTES);
    let end = block::BYTES as u16 - TAIL_BYTES;
    for (index, (inode, name)) in entries.iter().enumerate() {
        let start = block.len() as u16;
        let length = (8 + name.len() as u16).next_multiple_of(4);
        // The last entry reaches to the tail.
        let length = if index + 1 == entries.len() {
            end - start
        } else {
            length
        };
        block.extend(inode.to_le_bytes());
        block.extend(length.to_le_bytes());
        block.extend([name.len() as u8, DIRECTORY_TYPE]);
        block.extend(name.as_bytes());
        block.resize(usize::from(start + length), 0);
    }
    if entries.is_empty() {
        block.extend(0_u32.to_le_bytes());
        block.extend(end.to_le_bytes());
        block.resize(usize::from(end), 0);
    }
    let generation = 0_u32;
    let seed = seed
        .update(&directory.to_le_bytes())
        .update(&generation.to_le_bytes());
    let checksum = seed.update(&block).value();
    block.extend(0_u32.to_le_bytes());
    block.extend(TAIL_BYTES.to_le_bytes());
    block.extend([0, TAIL_TYPE]);
    block.extend(checksum.to_le_bytes());
    debug_assert_eq!(block.len(), size_of::<Block>());
    block
}
