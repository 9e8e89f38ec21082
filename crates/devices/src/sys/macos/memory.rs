//! Giving guest memory back to the host.

use std::io;

use vm_memory::GuestMemoryMmap;

use crate::queue::RingSlice;
use crate::sys::unix::memory::pages;

/// Lets the host free the pages behind a range of guest memory; the guest reads zeroes or old content afterwards.
#[allow(
    unsafe_code,
    reason = "madvise changes memory behind Rust's back, as the guest does all the time"
)]
pub(crate) fn release(_memory: &GuestMemoryMmap, slice: &RingSlice<'_>) -> io::Result<()> {
    let Some(slice) = pages(slice) else { return Ok(()) };
    let pointer = slice.ptr_guard_mut().as_ptr().cast();
    // SAFETY: the range is guest memory, which is never read through references, only as volatile memory whose
    // content may change at any time.
    match unsafe { libc::madvise(pointer, slice.len(), libc::MADV_FREE_REUSABLE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
