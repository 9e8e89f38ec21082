//! What a pull, load, push or removal tells its caller while and after it happens. The API turns these into Docker's
//! JSON lines; the words in `Display` are Docker's status texts.

use std::fmt;

use crate::digest::Digest;
use crate::image::Image;

/// Progress of a pull or load. Layers are named by the first 12 digits of their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// `latest: Pulling from library/alpine`.
    Pulling { repository: String, tag: String },
    /// A layer will be fetched.
    PullingFsLayer { id: String },
    /// The layer waits for one of the parallel downloads.
    Waiting { id: String },
    /// Bytes of the compressed layer so far; `total` is 0 when unknown.
    Downloading { id: String, current: u64, total: u64 },
    /// All bytes are there and are being checked.
    Verifying { id: String },
    /// The digest was right.
    DownloadComplete { id: String },
    /// The layer is being turned into its file: compressed bytes taken in so far.
    Extracting { id: String, current: u64, total: u64 },
    /// The layer is in the store.
    PullComplete { id: String },
    /// The layer was in the store before.
    AlreadyExists { id: String },
    /// The transfer broke; it goes on after so many seconds.
    Retrying { id: String, seconds: u64 },
    /// Digest of the index or manifest.
    Digest(Digest),
    /// The closing line.
    Status(String),
}

impl PullEvent {
    /// The layer (or tag) that the event is about.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Pulling { tag, .. } => Some(tag),
            Self::PullingFsLayer { id }
            | Self::Waiting { id }
            | Self::Downloading { id, .. }
            | Self::Verifying { id }
            | Self::DownloadComplete { id }
            | Self::Extracting { id, .. }
            | Self::PullComplete { id }
            | Self::AlreadyExists { id }
            | Self::Retrying { id, .. } => Some(id),
            Self::Digest(_) | Self::Status(_) => None,
        }
    }

    /// Bytes done and bytes in all, for events that count.
    pub fn progress(&self) -> Option<(u64, u64)> {
        match self {
            Self::Downloading { current, total, .. } | Self::Extracting { current, total, .. } => {
                Some((*current, *total))
            }
            _ => None,
        }
    }
}

impl fmt::Display for PullEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pulling { repository, .. } => write!(f, "Pulling from {repository}"),
            Self::PullingFsLayer { .. } => f.write_str("Pulling fs layer"),
            Self::Waiting { .. } => f.write_str("Waiting"),
            Self::Downloading { .. } => f.write_str("Downloading"),
            Self::Verifying { .. } => f.write_str("Verifying Checksum"),
            Self::DownloadComplete { .. } => f.write_str("Download complete"),
            Self::Extracting { .. } => f.write_str("Extracting"),
            Self::PullComplete { .. } => f.write_str("Pull complete"),
            Self::AlreadyExists { .. } => f.write_str("Already exists"),
            Self::Retrying { seconds: 1, .. } => f.write_str("Retrying in 1 second"),
            Self::Retrying { seconds, .. } => write!(f, "Retrying in {seconds} seconds"),
            Self::Digest(digest) => write!(f, "Digest: {digest}"),
            Self::Status(text) => write!(f, "Status: {text}"),
        }
    }
}

/// Progress of a push. Layers are named by the first 12 digits of their diff ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushEvent {
    /// Where the push goes: `docker.io/library/alpine`.
    Refers { repository: String },
    /// A layer will be looked at.
    Preparing { id: String },
    /// The layer waits for one of the parallel uploads.
    Waiting { id: String },
    /// Bytes of the compressed layer so far.
    Pushing { id: String, current: u64, total: u64 },
    /// The repository has the layer now.
    Pushed { id: String },
    /// The repository had the layer before.
    AlreadyExists { id: String },
    /// The transfer broke; it begins again after so many seconds.
    Retrying { id: String, seconds: u64 },
    /// The tag leads to the image: digest and length of its manifest.
    Tagged { tag: String, digest: Digest, size: u64 },
}

impl PushEvent {
    /// The layer that the event is about.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Preparing { id }
            | Self::Waiting { id }
            | Self::Pushing { id, .. }
            | Self::Pushed { id }
            | Self::AlreadyExists { id }
            | Self::Retrying { id, .. } => Some(id),
            Self::Refers { .. } | Self::Tagged { .. } => None,
        }
    }

    /// Bytes done and bytes in all, for events that count.
    pub fn progress(&self) -> Option<(u64, u64)> {
        match self {
            Self::Pushing { current, total, .. } => Some((*current, *total)),
            _ => None,
        }
    }
}

impl fmt::Display for PushEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refers { repository } => write!(f, "The push refers to repository [{repository}]"),
            Self::Preparing { .. } => f.write_str("Preparing"),
            Self::Waiting { .. } => f.write_str("Waiting"),
            Self::Pushing { .. } => f.write_str("Pushing"),
            Self::Pushed { .. } => f.write_str("Pushed"),
            Self::AlreadyExists { .. } => f.write_str("Layer already exists"),
            Self::Retrying { seconds: 1, .. } => f.write_str("Retrying in 1 second"),
            Self::Retrying { seconds, .. } => write!(f, "Retrying in {seconds} seconds"),
            Self::Tagged { tag, digest, size } => write!(f, "{tag}: digest: {digest} size: {size}"),
        }
    }
}

/// The result of a pull.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image, now in the store.
    pub image: Image,
    /// Digest of the index or manifest that the reference led to.
    pub digest: Digest,
    /// False when the reference already named this image.
    pub newer: bool,
}

/// One image that a load brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// `Loaded image: alpine:latest`.
    Reference(String),
    /// `Loaded image ID: sha256:…`, for an image without a name.
    Id(Digest),
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(name) => write!(f, "Loaded image: {name}"),
            Self::Id(id) => write!(f, "Loaded image ID: {id}"),
        }
    }
}

/// One line of `docker rmi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A name was taken off an image.
    Untagged(String),
    /// An image (config digest) or one of its layers (chain ID) is gone.
    Deleted(String),
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(name) => write!(f, "Untagged: {name}"),
            Self::Deleted(id) => write!(f, "Deleted: {id}"),
        }
    }
}

/// What the store takes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// All layer files together, each counted once, in bytes.
    pub layers: u64,
    /// One entry an image.
    pub images: Vec<ImageUsage>,
}

/// What one image takes on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image ID.
    pub id: Digest,
    /// All its layer files, in bytes.
    pub size: u64,
    /// Those that another image has too, in bytes.
    pub shared: u64,
}
