//! Files to and from guest memory, and holes in them.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, fallocate};

pub(crate) use crate::sys::unix::file::{Scratch, open_read_only, read_at, write_at};

/// Gives the range back to the file system; it reads as zeroes afterwards.
pub(crate) fn punch_hole(file: &File, offset: u64, length: u64) -> io::Result<()> {
    Ok(fallocate(
        file,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        offset,
        length,
    )?)
}

/// Makes the range read as zeroes without giving it back.
pub(crate) fn zero_range(file: &File, offset: u64, length: u64) -> io::Result<()> {
    Ok(fallocate(
        file,
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        offset,
        length,
    )?)
}
