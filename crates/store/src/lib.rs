//! Images on the host: a registry client, a content store, and layers as EROFS files.
//!
//! A pull verifies every digest and turns each layer, as its bytes arrive, into one read-only EROFS file named by
//! the layer's diff ID (OCI image-spec, `config.md`). A machine maps these files as extents of its layer disk, so
//! nothing is ever unpacked into a folder, on the host or in the guest. Beside each EROFS file lies a *recipe*
//! that reproduces the layer's tar archive byte for byte, for `save` and for pushing.
//!
//! ```text
//! reference, platform, digest, manifest, image     what images are, as data
//! registry/   distribution protocol: authentication, mirrors, resumable downloads, uploads
//! layer/      bytes of a layer → decompress → tar → EROFS + recipe, and back
//! tar/        the archive format, hostile input
//! erofs/      the file system format
//! content     layer files on disk        database   names and images, transactional
//! pull, push, load, save, remove, check  what a user asks for
//! ```

mod check;
mod compose;
mod config;
mod content;
mod database;
mod digest;
mod distribution;
mod erofs;
mod error;
mod event;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
mod image;
mod images;
mod layer;
mod load;
mod manifest;
mod platform;
mod pull;
mod push;
mod reference;
mod registry;
mod save;
mod store;
mod sys;
mod tar;

pub use check::{Checkup, Flaw, Pile};
pub use compose::Composition;
pub use config::{Credentials, Limits, Mirror, Patience, StoreConfig};
pub use digest::{Digest, DigestError};
pub use distribution::Distribution;
pub use error::{ErrorKind, LayerError, StoreError, is_disk_full};
pub use event::{DiskUsage, ImageUsage, Loaded, PullEvent, Pulled, PushEvent, Removal};
pub use image::{Healthcheck, HistoryEntry, Image, ImageConfig, ImageLayer};
pub use layer::{Compression, decompressor};
pub use platform::{Platform, PlatformError};
pub use push::Push;
pub use reference::{Reference, ReferenceError};
pub use registry::{Found, Proxies, check_tls, hosts};
pub use store::Store;
