//! CRC-32C as ext4's `metadata_csum` uses it: without the final inversion, and seeded with the file system's
//! UUID and the owner of the structure, so that a block written to the wrong place is noticed.

/// A checksum in the making.
#[derive(Clone, Copy)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Over nothing yet; the superblock's own checksum begins here.
    pub(crate) const fn new() -> Self {
        Self(u32::MAX)
    }

    /// The seed of all other checksums.
    pub(crate) fn of_file_system(uuid: &[u8; 16]) -> Self {
        Self::new().update(uuid)
    }

    /// Goes on over `bytes`.
    pub(crate) fn update(self, bytes: &[u8]) -> Self {
        // The library inverts before and after, as RFC 3720 has it.
        Self(!crc32c::crc32c_append(!self.0, bytes))
    }

    pub(crate) const fn value(self) -> u32 {
        self.0
    }

    /// The lower and the upper half, which most structures keep in different places.
    pub(crate) const fn halves(self) -> (u16, u16) {
        (self.0 as u16, (self.0 >> 16) as u16)
    }
}
