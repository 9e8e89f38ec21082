//! Guest memory as the kernel's scatter-gather lists.

use crate::queue::RingSlice;

/// The kernel takes at most this many (IOV_MAX).
pub(super) const MAX_VECTORS: usize = 1024;

/// The first [`MAX_VECTORS`] slices as `iovec`s, in `scratch`.
pub(super) fn vectors<'a>(slices: &[RingSlice<'_>], scratch: &'a mut Vec<libc::iovec>) -> &'a [libc::iovec] {
    scratch.clear();
    scratch.extend(slices.iter().take(MAX_VECTORS).map(|slice| libc::iovec {
        iov_base: slice.ptr_guard_mut().as_ptr().cast(),
        iov_len: slice.len(),
    }));
    scratch
}
