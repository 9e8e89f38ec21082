//! Giving guest memory back to the host.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::mm::{Advice, madvise};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

use crate::queue::RingSlice;
use crate::sys::unix::memory::pages;

/// Frees the host's pages behind a range of guest memory; the guest reads zeroes or old content afterwards. Memory
/// that is a file (memfd) is freed in the file, as dropping one of its mappings frees nothing.
#[allow(
    unsafe_code,
    reason = "madvise changes memory behind Rust's back, as the guest does all the time"
)]
pub(crate) fn release(memory: &GuestMemoryMmap, slice: &RingSlice<'_>) -> io::Result<()> {
    let Some(slice) = pages(slice) else { return Ok(()) };
    let (region, start) = region_of(memory, &slice).ok_or(io::ErrorKind::InvalidInput)?;
    if let Some(file) = region.file_offset() {
        let offset = file
            .start()
            .checked_add(start)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        return Ok(fallocate(file.file().as_fd(), hole, offset, slice.len() as u64)?);
    }
    // SAFETY: the range is guest memory, which is never read through references, only as volatile memory whose
    // content may change at any time.
    unsafe {
        madvise(
            slice.ptr_guard_mut().as_ptr().cast(),
            slice.len(),
            Advice::LinuxDontNeed,
        )?
    };
    Ok(())
}

/// The region that a slice lies in, and the slice's offset in it.
fn region_of<'m>(memory: &'m GuestMemoryMmap, slice: &RingSlice<'_>) -> Option<(&'m GuestRegionMmap, u64)> {
    let address = slice.ptr_guard().as_ptr() as usize;
    memory.iter().find_map(|region| {
        let offset = address.checked_sub(region.as_ptr() as usize)?;
        (offset < region.size()).then_some((region, offset as u64))
    })
}
