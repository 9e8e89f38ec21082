//! Files to and from guest memory without a copy in between.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::vector::vectors;
use crate::queue::RingSlice;

/// Room for a scatter-gather list, kept between calls.
#[derive(Default)]
pub(crate) struct Scratch(Vec<libc::iovec>);

// SAFETY: the pointers are overwritten before each use and never followed in between.
#[allow(unsafe_code, reason = "a list of pointers that means nothing between calls")]
unsafe impl Send for Scratch {}

/// Reads from `offset` into guest memory; returns how many bytes came, 0 at the end of the file.
#[allow(
    unsafe_code,
    reason = "std's vectored reads want exclusive slices, guest memory is shared with the guest"
)]
pub(crate) fn read_at(
    file: &File,
    slices: &[RingSlice<'_>],
    offset: u64,
    scratch: &mut Scratch,
) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let vectors = vectors(slices, &mut scratch.0);
    // SAFETY: every vector is guest memory that `slices` borrows for the call, and at most IOV_MAX are passed.
    let count = unsafe {
        libc::preadv(
            file.as_raw_fd(),
            vectors.as_ptr(),
            vectors.len() as libc::c_int,
            offset,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Writes guest memory at `offset`; returns how many bytes went.
#[allow(
    unsafe_code,
    reason = "std's vectored writes want immutable slices, guest memory may change under them"
)]
pub(crate) fn write_at(
    file: &File,
    slices: &[RingSlice<'_>],
    offset: u64,
    scratch: &mut Scratch,
) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let vectors = vectors(slices, &mut scratch.0);
    // SAFETY: every vector is guest memory that `slices` borrows for the call; pwritev only reads it.
    let count = unsafe {
        libc::pwritev(
            file.as_raw_fd(),
            vectors.as_ptr(),
            vectors.len() as libc::c_int,
            offset,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Opens a file for reading. Neither follows a symbolic link nor waits for the other end of a pipe.
pub(crate) fn open_read_only(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}
