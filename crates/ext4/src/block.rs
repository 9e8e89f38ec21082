//! Blocks, the unit of everything: 4096 bytes, which is also the page size of both guest architectures.

/// Bytes of a block.
pub(crate) const BYTES: usize = 4096;

/// A block of zeros, to build on.
pub(crate) type Block = [u8; BYTES];

/// Where a block begins in the file, in bytes.
pub(crate) const fn offset(block: u64) -> u64 {
    block.saturating_mul(BYTES as u64)
}
