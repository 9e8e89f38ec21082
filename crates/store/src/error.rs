//! What can go wrong, each in one sentence that names the culprit and says what to do. Texts that Docker has are
//! Docker's.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::reference::ReferenceError;

/// An operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The text of a reference was not understood.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No image has that name or ID.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// The image exists for other platforms than the one asked for.
    #[error("image with reference {name} was found but does not provide the specified platform ({platform})")]
    WrongPlatform { name: String, platform: String },
    /// An ID prefix fits more than one image.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    /// An image has several names and was to be removed by its ID.
    #[error("conflict: unable to delete {0} (must be forced) - image is referenced in multiple repositories")]
    ReferencedByMany(String),
    /// The registry does not know the tag or digest.
    #[error("manifest for {0} not found: manifest unknown: manifest unknown")]
    ManifestUnknown(String),
    /// The registry hides or lacks the repository.
    #[error("pull access denied for {0}, repository does not exist or may require 'docker login': {1}")]
    AccessDenied(String, String),
    /// The registry does not let the caller write to the repository.
    #[error("push access denied for {0}, repository does not exist or may require 'docker login': {1}")]
    PushDenied(String, String),
    /// The repository to push has no image here.
    #[error("An image does not exist locally with the tag: {0}")]
    NothingToPush(String),
    /// The repository to push has images here, and none of this tag.
    #[error("tag does not exist: {0}")]
    NoSuchTag(String),
    /// A push names what it makes by a tag.
    #[error("cannot push a digest reference: push {0} by a tag")]
    PushByDigest(String),
    /// The index has no image for the platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoMatchingManifest(String),
    /// The one image behind the reference is for another platform.
    #[error(
        "image {reference} is for {found} only, and {wanted} was asked for: give --platform {found} to use it"
    )]
    OtherPlatform {
        reference: String,
        found: String,
        wanted: String,
    },
    /// A manifest, index or config is broken or of a kind that sampan does not take.
    #[error("{subject} cannot be used: {reason}")]
    Invalid { subject: String, reason: String },
    /// Content is not what its digest promises. Nothing of it was kept.
    #[error(
        "{subject} was refused: its content has digest {found} where {wanted} was promised; the registry or a proxy \
         on the way altered it, so pull again or use another registry"
    )]
    WrongDigest {
        subject: String,
        wanted: Digest,
        found: Digest,
    },
    /// A layer is broken or hostile. Nothing of it was kept.
    #[error("layer {layer} was refused: {reason}")]
    Layer { layer: String, reason: LayerError },
    /// A registry cannot be reached, or breaks off again and again.
    #[error("{url}: {reason}; check the network, proxy settings and the registry, then try again")]
    Unreachable { url: String, reason: String },
    /// A registry answered with an error.
    #[error("{url}: the registry answered {status}{detail}; {advice}")]
    Registry {
        url: String,
        status: u16,
        detail: String,
        advice: &'static str,
    },
    /// What was to be logged in to is no registry.
    #[error("invalid registry address {0:?}: write host or host:port, as in localhost:5000")]
    RegistryAddress(String),
    /// A search term that leads nowhere.
    #[error(
        "invalid search term {0:?}: write a word, or a registry's host and a word, as in localhost:5000/alpine"
    )]
    SearchTerm(String),
    /// A registry does not take a person's name and password.
    #[error("Get {url:?}: {reason}")]
    LoginRefused { url: String, reason: String },
    /// Plain HTTP to a host that is not loopback.
    #[error(
        "{0}: plain HTTP is refused for a registry that is not on this computer: list it as an insecure registry to allow it"
    )]
    PlainHttp(String),
    /// An archive given to `load` is broken.
    #[error("the archive cannot be loaded: {0}")]
    Archive(String),
    /// The disk has no room.
    #[error("no space left on the disk that holds {0}: free some space or remove images, then try again")]
    DiskFull(PathBuf),
    /// Another process has the store open.
    #[error("the image store {0} is in use by another process: stop the other sampan service first")]
    Locked(PathBuf),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The database failed.
    #[error("the image database {path} failed: {reason}")]
    Database { path: PathBuf, reason: String },
    /// Set-up of TLS failed.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// A worker was stopped, as happens when the process ends.
    #[error("the operation was interrupted")]
    Interrupted,
}

/// Which family an error belongs to, free of any protocol's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller's input is wrong.
    Invalid,
    /// What was named does not exist.
    NotFound,
    /// The state of things forbids it.
    Conflict,
    /// The registry refuses the caller.
    Denied,
    /// The caller's name or password is wrong.
    Unauthorized,
    /// Something else failed.
    Internal,
}

/// Whether a file operation failed for want of room on the disk, or of what a user may take of it.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl StoreError {
    /// The family of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference(_)
            | Self::AmbiguousPrefix(_)
            | Self::Archive(_)
            | Self::RegistryAddress(_)
            | Self::SearchTerm(_)
            | Self::PlainHttp(_)
            | Self::PushByDigest(_) => ErrorKind::Invalid,
            Self::NoSuchImage(_)
            | Self::NothingToPush(_)
            | Self::NoSuchTag(_)
            | Self::WrongPlatform { .. }
            | Self::ManifestUnknown(_)
            | Self::NoMatchingManifest(_)
            | Self::OtherPlatform { .. } => ErrorKind::NotFound,
            // dockerd answers 404 here too: a registry does not tell a hidden repository from an absent one.
            Self::AccessDenied(..) => ErrorKind::NotFound,
            Self::LoginRefused { .. } => ErrorKind::Unauthorized,
            Self::ReferencedByMany(_) | Self::Locked(_) => ErrorKind::Conflict,
            Self::PushDenied(..)
            | Self::Registry {
                status: 401 | 403, ..
            } => ErrorKind::Denied,
            _ => ErrorKind::Internal,
        }
    }

    /// A failed file operation; a full disk becomes [`StoreError::DiskFull`].
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if is_disk_full(&source) {
            Self::DiskFull(path)
        } else {
            Self::Io { path, source }
        }
    }

    pub(crate) fn invalid(subject: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid {
            subject: subject.into(),
            reason: reason.to_string(),
        }
    }
}

/// Why a layer was refused.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive ends in the middle.
    #[error("it is truncated")]
    Truncated,
    /// The compressed stream is broken.
    #[error("it cannot be decompressed: {0}")]
    Compression(String),
    /// The compression is one that sampan does not take.
    #[error("its media type {0} is not supported: use gzip, zstd or no compression")]
    MediaType(String),
    /// A tar header is broken.
    #[error("the archive entry at byte {offset} is malformed: {reason}")]
    Entry { offset: u64, reason: String },
    /// A name leads out of the layer, or through something that is not a folder.
    #[error("the archive entry {name:?} {reason}")]
    Path { name: String, reason: &'static str },
    /// The uncompressed bytes are not those that the config promises.
    #[error("its uncompressed content has digest {found} where the image config promises {wanted}")]
    DiffId { wanted: Digest, found: Digest },
    /// The compressed bytes are not those that the manifest promises.
    #[error("its content has digest {found} where {wanted} was promised")]
    Digest { wanted: Digest, found: Digest },
    /// More bytes than the manifest promises.
    #[error("it is longer than the {0} bytes that the manifest promises")]
    TooLong(u64),
    /// It grows beyond a limit.
    #[error("{0}")]
    Limit(String),
    /// Whoever brings the bytes has stopped; not the layer's fault.
    #[error("it did not arrive")]
    GivenUp,
    /// The layer file could not be written.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for LayerError {
    /// Readers pass their own errors through `io::Error`; they come out as what they were.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<LayerError> for io::Error {
    fn from(error: LayerError) -> Self {
        Self::other(error)
    }
}
