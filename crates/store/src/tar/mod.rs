//! Reading tar archives as a stream (POSIX.1-2017 `pax`, GNU tar's manual, libarchive's `tar(5)`), from anyone.
//!
//! An archive is a row of 512-byte blocks: a header block, then the entry's data padded to a whole block. Three
//! generations of headers are in use: the old one, POSIX *ustar* with *pax* records, and GNU's. Long names, large
//! numbers, extended attributes and sparse maps come in extension entries before the entry that they belong to.
//!
//! Every byte of an archive either is handed out as the data of an entry, or is kept by the reader as *raw*: the
//! two together make the archive again, byte for byte, which no reader that only tells entries can offer.

mod header;
mod pax;
mod reader;
mod sparse;

pub(crate) use header::EntryKind;
pub(crate) use reader::{Entry, Reader};

/// Bytes in a block.
pub(crate) const BLOCK: usize = 512;
