//! Files to and from guest memory, and holes in them.
//!
//! APFS punches holes with F_PUNCHHOLE (fcntl(2)), in whole file-system blocks only.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

pub(crate) use crate::sys::unix::file::{Scratch, open_read_only, read_at, write_at};

const BLOCK: u64 = 4096;

/// Gives the range back to the file system; it reads as zeroes afterwards.
#[allow(unsafe_code, reason = "no library offers F_PUNCHHOLE")]
pub(crate) fn punch_hole(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    let (first, last) = (offset.next_multiple_of(BLOCK).min(end), end / BLOCK * BLOCK);
    if first >= last {
        return zero_range(file, offset, length);
    }
    zero_range(file, offset, first - offset)?;
    zero_range(file, last, end - last)?;
    let hole = libc::fpunchhole_t {
        fp_flags: 0,
        reserved: 0,
        fp_offset: libc::off_t::try_from(first).map_err(|_| io::ErrorKind::InvalidInput)?,
        fp_length: libc::off_t::try_from(last - first).map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    // SAFETY: F_PUNCHHOLE reads one `fpunchhole_t`, which lives through the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &hole) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes the range read as zeroes without giving it back.
pub(crate) fn zero_range(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let zeroes = [0; 0x1_0000];
    let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    let mut at = offset;
    while at < end {
        let count = (end - at).min(zeroes.len() as u64);
        file.write_all_at(zeroes.get(..count as usize).unwrap_or_default(), at)?;
        at += count;
    }
    Ok(())
}
