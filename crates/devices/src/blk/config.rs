//! The configuration space (virtio 1.3, section 5.2.4).

use super::SECTOR;
use crate::device::read_config_bytes;

/// Data segments of a request: what fits a queue beside the header and the status.
pub(super) fn max_segments(queue_size: u16) -> u32 {
    u32::from(queue_size).saturating_sub(2)
}

/// Discards and zeroings in one request. One is what Linux sends without merging.
pub(super) const MAX_RANGES: u32 = 16;
/// Sectors of one discard or zeroing: 1 GiB, so that no single request keeps the worker for long.
pub(super) const MAX_RANGE_SECTORS: u32 = (1 << 30) / SECTOR as u32;

/// Copies from the configuration space of a disk of `capacity` bytes.
pub(super) fn read(capacity: u64, queue_sizes: &[u16], offset: u64, data: &mut [u8]) {
    let mut space = Vec::with_capacity(60);
    let queue_size = queue_sizes.first().copied().unwrap_or(1);
    space.extend((capacity / SECTOR).to_le_bytes());
    space.extend(0u32.to_le_bytes()); // size_max: no limit
    space.extend(max_segments(queue_size).to_le_bytes());
    space.extend([0; 4]); // geometry
    space.extend((SECTOR as u32).to_le_bytes()); // blk_size
    space.extend([3, 0]); // physical blocks of 2^3 sectors, aligned
    space.extend(8u16.to_le_bytes()); // smallest good I/O, in sectors
    space.extend(0u32.to_le_bytes()); // best I/O
    space.extend([0, 0]); // writeback, unused
    space.extend((queue_sizes.len() as u16).to_le_bytes());
    space.extend(MAX_RANGE_SECTORS.to_le_bytes()); // discard
    space.extend(MAX_RANGES.to_le_bytes());
    space.extend(8u32.to_le_bytes()); // discard alignment: 4 KiB, the host's block
    space.extend(MAX_RANGE_SECTORS.to_le_bytes()); // write zeroes
    space.extend(MAX_RANGES.to_le_bytes());
    space.extend([1, 0, 0, 0]); // zeroing may unmap
    read_config_bytes(&space, offset, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capacity_is_told_in_sectors() {
        let mut data = [0xff; 8];
        read(1 << 30, &[128], 0, &mut data);
        assert_eq!(u64::from_le_bytes(data), (1 << 30) / 512);
    }

    #[test]
    fn fields_lie_where_the_standard_puts_them() {
        let mut space = [0xff; 64];
        read(1 << 30, &[128], 0, &mut space);
        assert_eq!(space[12..16], 126u32.to_le_bytes());
        assert_eq!(space[20..24], 512u32.to_le_bytes());
        assert_eq!(space[34..36], 1u16.to_le_bytes());
        assert_eq!(space[36..40], MAX_RANGE_SECTORS.to_le_bytes());
        assert_eq!(space[56], 1);
        assert_eq!(space[60..], [0; 4]);
    }
}
