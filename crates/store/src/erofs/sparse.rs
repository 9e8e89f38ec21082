//! Chunk-based files, for files with holes: behind the inode lies one block number for each chunk, all ones for
//! a hole.

use super::{BLOCK, Extent};

/// Most chunks in a map; longer files get larger chunks.
const MAX_CHUNKS: u64 = 1 << 16;
/// The block number of a hole.
pub(super) const HOLE: u32 = u32::MAX;

/// How a sparse file is cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// Binary logarithm of the blocks in a chunk.
    pub(super) format: u8,
    /// Length of the file in bytes.
    size: u64,
}

impl Chunks {
    pub(super) fn of(size: u64) -> Self {
        let mut format = 0;
        while size.div_ceil(BLOCK << format) > MAX_CHUNKS {
            format += 1;
        }
        Self { format, size }
    }

    pub(super) fn count(self) -> u64 {
        self.size.div_ceil(self.chunk())
    }

    fn chunk(self) -> u64 {
        BLOCK << self.format
    }

    /// The chunk that an offset lies in.
    pub(super) fn index(self, offset: u64) -> u64 {
        offset / self.chunk()
    }

    /// Where a chunk begins in the file, and how many bytes of blocks it takes in the image.
    pub(super) fn bounds(self, index: u64) -> (u64, u64) {
        let start = index.saturating_mul(self.chunk());
        let rest = self
            .size
            .saturating_sub(start)
            .div_ceil(BLOCK)
            .saturating_mul(BLOCK);
        (start, rest.min(self.chunk()))
    }
}

/// Whether data pieces are in order, apart, and inside a file of `size` bytes.
pub(super) fn are_sound(pieces: &[Extent], size: u64) -> bool {
    let mut end = 0;
    pieces.iter().all(|piece| {
        let sound = piece.offset >= end;
        match piece.offset.checked_add(piece.length) {
            Some(next) => {
                end = next;
                sound && next <= size
            }
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_stays_small_however_long_the_file() {
        for size in [0, 1, 4096, 4097, 1 << 28, (1 << 40) + 1, i64::MAX as u64] {
            let chunks = Chunks::of(size);
            assert!(chunks.count() <= MAX_CHUNKS);
            if let Some(last) = chunks.count().checked_sub(1) {
                let (start, length) = chunks.bounds(last);
                assert!(start < size && start + length >= size && length % BLOCK == 0);
            }
        }
    }

    #[test]
    fn pieces_that_overlap_or_run_past_the_end_are_unsound() {
        let piece = |offset, length| Extent { offset, length };
        assert!(are_sound(&[piece(0, 10), piece(10, 5), piece(20, 0)], 20));
        assert!(!are_sound(&[piece(0, 10), piece(9, 5)], 20));
        assert!(!are_sound(&[piece(16, 5)], 20));
        assert!(!are_sound(&[piece(u64::MAX, 2)], u64::MAX));
    }
}
