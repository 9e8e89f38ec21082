//! Block devices over extents of the layer disk, by device-mapper's `linear` target.
//!
//! The kernel's interface (linux/dm-ioctl.h; Documentation/admin-guide/device-mapper/linear.rst) is a handful
//! of ioctls on /dev/mapper/control. Each takes one buffer that begins with a 312-byte `struct dm_ioctl`;
//! a table is loaded as one `struct dm_target_spec` followed by the target's parameters as text.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;

use crate::sys::ioctl;

const HEADER_LENGTH: usize = 312;
const SPEC_LENGTH: usize = 40;
/// DM_NAME_LEN, with its NUL.
const NAME_LENGTH: usize = 128;
const NAME_OFFSET: usize = 48;
const DEVICE_OFFSET: usize = 40;
const SECTOR: u64 = 512;

const DEV_CREATE: u32 = 3;
const DEV_REMOVE: u32 = 4;
const DEV_SUSPEND: u32 = 6;
const TABLE_LOAD: u32 = 9;

const READ_ONLY: u32 = 1;

/// The way to device-mapper.
#[derive(Debug)]
pub(crate) struct DeviceMapper {
    control: File,
}

impl DeviceMapper {
    /// Opens the control node.
    pub(crate) fn open() -> io::Result<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/mapper/control")?;
        Ok(Self { control })
    }

    /// Makes a read-only device over `length` bytes from `offset` of the disk `major:minor`; both are multiples
    /// of 512. Returns its node. The device is gone again when anything failed.
    pub(crate) fn create(&self, name: &str, disk: &str, offset: u64, length: u64) -> io::Result<String> {
        let mut buffer = header(name, 0, HEADER_LENGTH)?;
        self.call(DEV_CREATE, &mut buffer)?;
        let minor = minor_of(&buffer);
        let start = || {
            let mut table = table(name, disk, offset, length)?;
            self.call(TABLE_LOAD, &mut table)?;
            // A "suspend" without the suspend flag resumes: the loaded table becomes the live one.
            self.call(DEV_SUSPEND, &mut header(name, 0, HEADER_LENGTH)?)
        };
        match start() {
            Ok(()) => Ok(format!("/dev/dm-{minor}")),
            Err(error) => {
                let _ = self.remove(name);
                Err(error)
            }
        }
    }

    /// Removes a device. Fails with EBUSY while it is mounted.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.call(DEV_REMOVE, &mut header(name, 0, HEADER_LENGTH)?)
    }

    fn call(&self, number: u32, buffer: &mut [u8]) -> io::Result<()> {
        // _IOWR(0xfd, number, struct dm_ioctl)
        let request = (3 << 30) | ((HEADER_LENGTH as u32) << 16) | (0xfd << 8) | number;
        ioctl::device_mapper(self.control.as_fd(), request, buffer)
    }
}

/// A buffer of `length` bytes that begins with a `struct dm_ioctl`.
fn header(name: &str, targets: u32, length: usize) -> io::Result<Vec<u8>> {
    if name.is_empty() || name.len() >= NAME_LENGTH || length < HEADER_LENGTH {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let size = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = READ_ONLY;
    let mut buffer = Vec::with_capacity(length);
    for field in [4, 0, 0, size, HEADER_LENGTH as u32, targets, 0, flags, 0, 0] {
        buffer.extend_from_slice(&u32::to_ne_bytes(field));
    }
    buffer.resize(NAME_OFFSET, 0);
    buffer.extend_from_slice(name.as_bytes());
    buffer.resize(length, 0);
    Ok(buffer)
}

/// The buffer that loads a table of one linear target.
fn table(name: &str, disk: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let parameters = format!("{disk} {}", offset / SECTOR);
    // The parameters end with a NUL, and the next target would begin on a multiple of 8.
    let spec_and_parameters = SPEC_LENGTH
        .saturating_add(parameters.len())
        .saturating_add(1)
        .next_multiple_of(8);
    let mut buffer = header(name, 1, HEADER_LENGTH.saturating_add(spec_and_parameters))?;
    let total = buffer.len();
    buffer.truncate(HEADER_LENGTH);
    buffer.extend_from_slice(&0u64.to_ne_bytes());
    buffer.extend_from_slice(&(length / SECTOR).to_ne_bytes());
    buffer.extend_from_slice(&0i32.to_ne_bytes());
    buffer.extend_from_slice(&(spec_and_parameters as u32).to_ne_bytes());
    let mut kind = [0u8; 16];
    for (slot, byte) in kind.iter_mut().zip(b"linear") {
        *slot = *byte;
    }
    buffer.extend_from_slice(&kind);
    buffer.extend_from_slice(parameters.as_bytes());
    buffer.resize(total, 0);
    Ok(buffer)
}

/// The minor number in the `dev` field of an answer (linux/kdev_t.h, huge_encode_dev).
fn minor_of(buffer: &[u8]) -> u64 {
    let field = buffer
        .get(DEVICE_OFFSET..)
        .and_then(|rest| rest.first_chunk::<8>());
    let device = field.map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    (device & 0xff) | ((device >> 12) & 0xfff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_its_own_length_and_where_the_extent_begins() {
        let table = table("abc", "254:0", 8192, 4096).unwrap();
        assert_eq!(&table[12..16], &u32::try_from(table.len()).unwrap().to_ne_bytes());
        assert_eq!(&table[HEADER_LENGTH + 8..HEADER_LENGTH + 16], &8u64.to_ne_bytes());
        assert!(table[HEADER_LENGTH + SPEC_LENGTH..].starts_with(b"254:0 16\0"));
        assert_eq!(table.len() % 8, 0);
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(header(&"x".repeat(NAME_LENGTH), 0, HEADER_LENGTH).is_err());
    }

    #[test]
    fn a_large_minor_number_is_decoded() {
        let mut buffer = vec![0; HEADER_LENGTH];
        let (major, minor) = (254u64, 0x12345u64);
        let device = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
        buffer[DEVICE_OFFSET..DEVICE_OFFSET + 8].copy_from_slice(&device.to_ne_bytes());
        assert_eq!(minor_of(&buffer), minor);
    }
}
