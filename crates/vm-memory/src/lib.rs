//! `vm-memory` as published, with its `rawfd` feature turned into a no-op.
//!
//! `virtio-queue` and `linux-loader` switch `rawfd` on, and `rawfd` does not build for Windows, although
//! neither crate uses it. Cargo cannot switch a dependency's feature off from outside, so the workspace
//! patches `vm-memory` with this package, which passes every other feature through.

pub use published::*;
