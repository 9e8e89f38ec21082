//! The superblock of an empty jbd2 journal (ext4: "Journal (jbd2)", version 2), big-endian throughout. The
//! other blocks of the journal stay zero. The kernel adds the journal's checksum and 64-bit features itself
//! when it first mounts the file system.

use std::fs::File;
use std::io;

use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::layout::Layout;
use crate::{block, sys};

const MAGIC: u32 = 0xc03b_3998;
const SUPERBLOCK_V2: u32 = 4;

#[derive(FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Superblock {
    magic: U32,
    block_type: U32,
    header_sequence: U32,
    block_size: U32,
    blocks: U32,
    first: U32,
    sequence: U32,
    /// Zero: nothing to replay.
    start: U32,
    errno: U32,
    features: [U32; 3],
    uuid: [u8; 16],
    users: U32,
    rest: [u8; 188],
}

pub(crate) fn write(file: &File, layout: &Layout, uuid: &[u8; 16]) -> io::Result<()> {
    let superblock = Superblock {
        magic: MAGIC.into(),
        block_type: SUPERBLOCK_V2.into(),
        block_size: (block::BYTES as u32).into(),
        blocks: layout.journal_blocks.into(),
        first: 1.into(),
        sequence: 1.into(),
        uuid: *uuid,
        users: 1.into(),
        ..Superblock::new_zeroed()
    };
    sys::write_all_at(file, superblock.as_bytes(), block::offset(layout.journal()))
}
