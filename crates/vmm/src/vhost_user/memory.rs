//! The guest's memory as the front end sends it.

use std::fs::File;

use vhost::vhost_user::message::VhostUserMemoryRegion;
use vhost::vhost_user::{Error, Result};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

use super::refused;

/// Guest memory, and where the front end has it: queue addresses come as the front end's own.
pub(super) struct Table {
    pub(super) memory: GuestMemoryMmap,
    ranges: Vec<Range>,
}

struct Range {
    front_end: u64,
    guest: u64,
    length: u64,
}

impl Table {
    /// Maps every region.
    pub(super) fn new(regions: &[VhostUserMemoryRegion], files: Vec<File>) -> Result<Self> {
        let mut mapped = Vec::with_capacity(regions.len());
        let mut ranges = Vec::with_capacity(regions.len());
        for (region, file) in regions.iter().zip(files) {
            let length = usize::try_from(region.memory_size)
                .map_err(|_| refused("a region of memory is too large"))?;
            // Touching a mapping past its file's end would kill the process.
            let end = region
                .mmap_offset
                .checked_add(region.memory_size)
                .ok_or_else(|| refused("a region of memory ends past 64 bits"))?;
            if file.metadata().map_err(Error::ReqHandlerError)?.len() < end {
                return Err(refused("a region of memory is longer than its file"));
            }
            let mapping = MmapRegion::from_file(FileOffset::new(file, region.mmap_offset), length)
                .map_err(|error| Error::ReqHandlerError(std::io::Error::other(error)))?;
            mapped.push(
                GuestRegionMmap::new(mapping, GuestAddress(region.guest_phys_addr))
                    .ok_or_else(|| refused("a region of memory ends past 64 bits"))?,
            );
            ranges.push(Range {
                front_end: region.user_addr,
                guest: region.guest_phys_addr,
                length: region.memory_size,
            });
        }
        mapped.sort_by_key(vm_memory::GuestMemoryRegion::start_addr);
        let memory = GuestMemoryMmap::from_regions(mapped)
            .map_err(|error| Error::ReqHandlerError(std::io::Error::other(error)))?;
        Ok(Self { memory, ranges })
    }

    /// The guest physical address of one of the front end's addresses.
    pub(super) fn guest_address(&self, front_end: u64) -> Result<u64> {
        self.ranges
            .iter()
            .find_map(|range| {
                let offset = front_end.checked_sub(range.front_end)?;
                (offset < range.length).then(|| range.guest.checked_add(offset))?
            })
            .ok_or_else(|| refused("an address of a queue is not in guest memory"))
    }
}
