//! Finding the host's pages in guest memory.

use crate::queue::RingSlice;

/// The whole pages of the host inside a slice of guest memory; `None` when there are none.
pub(crate) fn pages<'m>(slice: &RingSlice<'m>) -> Option<RingSlice<'m>> {
    let page = rustix::param::page_size();
    let start = slice.ptr_guard().as_ptr() as usize;
    let skip = start.next_multiple_of(page) - start;
    let length = slice.len().checked_sub(skip)? / page * page;
    slice
        .subslice(skip, length)
        .ok()
        .filter(|slice| !slice.is_empty())
}
