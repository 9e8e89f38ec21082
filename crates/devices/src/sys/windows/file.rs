//! Files to and from guest memory, and holes in them.
//!
//! NTFS gives space back only in files that were marked sparse (FSCTL_SET_SPARSE) and zeroes ranges with
//! FSCTL_SET_ZERO_DATA. ReadFileScatter wants whole pages, so a list is read slice by slice.
#![allow(unsafe_code, reason = "calls into Windows")]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::ERROR_HANDLE_EOF;
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_OPEN_REPARSE_POINT, ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{DeviceIoControl, OVERLAPPED};
use windows_sys::Win32::System::Ioctl::{FILE_ZERO_DATA_INFORMATION, FSCTL_SET_SPARSE, FSCTL_SET_ZERO_DATA};

use crate::queue::RingSlice;

/// Nothing to keep between calls.
#[derive(Default)]
pub(crate) struct Scratch;

/// Reads from `offset` into guest memory; returns how many bytes came, 0 at the end of the file.
pub(crate) fn read_at(
    file: &File,
    slices: &[RingSlice<'_>],
    offset: u64,
    _scratch: &mut Scratch,
) -> io::Result<usize> {
    transfer(slices, offset, |pointer, length, overlapped, count| {
        // SAFETY: the slice is guest memory, borrowed for the call, and `length` bytes long.
        unsafe { ReadFile(file.as_raw_handle(), pointer, length, count, overlapped) }
    })
}

/// Writes guest memory at `offset`; returns how many bytes went.
pub(crate) fn write_at(
    file: &File,
    slices: &[RingSlice<'_>],
    offset: u64,
    _scratch: &mut Scratch,
) -> io::Result<usize> {
    transfer(slices, offset, |pointer, length, overlapped, count| {
        // SAFETY: the slice is guest memory, borrowed for the call, and `length` bytes long.
        unsafe { WriteFile(file.as_raw_handle(), pointer, length, count, overlapped) }
    })
}

fn transfer(
    slices: &[RingSlice<'_>],
    offset: u64,
    mut call: impl FnMut(*mut u8, u32, *mut OVERLAPPED, *mut u32) -> i32,
) -> io::Result<usize> {
    let mut done = 0;
    for slice in slices {
        let length = u32::try_from(slice.len()).unwrap_or(u32::MAX);
        let at = offset
            .checked_add(done as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let mut overlapped = OVERLAPPED::default();
        overlapped.Anonymous.Anonymous.Offset = at as u32;
        overlapped.Anonymous.Anonymous.OffsetHigh = (at >> 32) as u32;
        let mut count = 0;
        if call(
            slice.ptr_guard_mut().as_ptr(),
            length,
            &mut overlapped,
            &mut count,
        ) == 0
        {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(ERROR_HANDLE_EOF as i32) {
                break;
            }
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        done += count as usize;
        if (count as usize) < slice.len() {
            break;
        }
    }
    Ok(done)
}

/// Opens a file for reading, without following a reparse point.
pub(crate) fn open_read_only(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Gives the range back to the file system; it reads as zeroes afterwards.
pub(crate) fn punch_hole(file: &File, offset: u64, length: u64) -> io::Result<()> {
    control(file, FSCTL_SET_SPARSE, null(), 0)?;
    zero_range(file, offset, length)
}

/// Makes the range read as zeroes.
pub(crate) fn zero_range(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
    let range = FILE_ZERO_DATA_INFORMATION {
        FileOffset: i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?,
        BeyondFinalZero: i64::try_from(end).map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    let size = size_of::<FILE_ZERO_DATA_INFORMATION>() as u32;
    control(file, FSCTL_SET_ZERO_DATA, (&raw const range).cast(), size)
}

fn control(file: &File, code: u32, input: *const c_void, size: u32) -> io::Result<()> {
    let mut returned = 0;
    // SAFETY: the input is `size` bytes that live through the call; no output is asked for.
    let done = unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            input,
            size,
            null_mut(),
            0,
            &mut returned,
            null_mut(),
        )
    };
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
