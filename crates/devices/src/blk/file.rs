//! A raw disk image in a host file.

use std::fs::File;
use std::io;

use super::{Backing, Buffers, SECTOR};
use crate::sys::file;

/// A disk whose content is that of a file, byte for byte. The file may be sparse; discards make it so again.
pub struct FileDisk {
    file: File,
    capacity: u64,
    read_only: bool,
}

impl FileDisk {
    /// Takes the whole sectors of `file`. Give a file opened for reading only together with `read_only`.
    pub fn new(file: File, read_only: bool) -> io::Result<Self> {
        let capacity = file.metadata()?.len() / SECTOR * SECTOR;
        Ok(Self {
            file,
            capacity,
            read_only,
        })
    }
}

impl Backing for FileDisk {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, offset: u64, buffers: &mut Buffers<'_, '_>) -> io::Result<()> {
        buffers.fill_from(&self.file, offset)
    }

    fn write(&self, offset: u64, buffers: &mut Buffers<'_, '_>) -> io::Result<()> {
        buffers.drain_to(&self.file, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        file::punch_hole(&self.file, offset, length)
    }

    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        if unmap {
            file::punch_hole(&self.file, offset, length)
        } else {
            file::zero_range(&self.file, offset, length)
        }
    }
}
