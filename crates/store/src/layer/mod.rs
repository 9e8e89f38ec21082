//! A layer's way from the bytes of a registry or archive to an EROFS file and its recipe.
//!
//! ```text
//! compressed bytes → [inflate] → uncompressed tar → entries → tree of names      ┐
//!        │                             │                └────→ data, inodes      ├→ EROFS file
//!     digest                        diff ID         headers ──────────────────────→ recipe
//! ```
//!
//! Everything streams: what is held in memory is the names, a few blocks, and what the channels between the
//! threads hold. The way back to a registry is [`TarReader`] and [`compress`].

mod compress;
mod convert;
mod decompress;
mod ingest;
mod recipe;
mod tree;

pub(crate) use compress::compress;
pub(crate) use convert::{Converted, convert};
pub use decompress::{Compression, decompressor};
pub(crate) use ingest::{Feed, LayerFiles, Source, ingest};
pub(crate) use recipe::TarReader;

#[cfg(test)]
#[cfg(unix)]
mod tests;
