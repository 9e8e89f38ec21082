//! Giving guest memory back to the host.
#![allow(unsafe_code, reason = "calls into Windows")]

use std::io;

use vm_memory::GuestMemoryMmap;
use windows_sys::Win32::System::Memory::DiscardVirtualMemory;

use crate::queue::RingSlice;

const PAGE: usize = 4096;

/// Lets the host drop the pages behind a range of guest memory; the guest reads anything there afterwards.
pub(crate) fn release(_memory: &GuestMemoryMmap, slice: &RingSlice<'_>) -> io::Result<()> {
    let start = slice.ptr_guard().as_ptr() as usize;
    let skip = start.next_multiple_of(PAGE) - start;
    let length = slice.len().saturating_sub(skip) / PAGE * PAGE;
    let Ok(pages) = slice.subslice(skip, length) else {
        return Ok(());
    };
    if pages.is_empty() {
        return Ok(());
    }
    // SAFETY: the range is guest memory, which is never read through references, only as volatile memory whose
    // content may change at any time.
    match unsafe { DiscardVirtualMemory(pages.ptr_guard_mut().as_ptr().cast(), pages.len()) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code as i32)),
    }
}
