//! What can go wrong, in Docker's own words where Docker has them (moby: `daemon/errors.go`, `errdefs`).
//!
//! The engine knows no HTTP. A server maps [`Kind`] to its own status codes and shows the `Display` text.

use std::path::PathBuf;

use protocol::Architecture;

/// The classes of error that a server answers differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request contradicts itself or cannot be understood.
    BadRequest,
    /// A container, exec, image or machine that does not exist.
    NotFound,
    /// The state of things does not allow it now.
    Conflict,
    /// Who asks did not say rightly who that is.
    Unauthorized,
    /// It is never allowed.
    Forbidden,
    /// Things are as asked already; no text is shown.
    NotModified,
    /// sampan does not do this.
    NotImplemented,
    /// A machine is needed and cannot be had.
    Unavailable,
    /// Anything else: a host or guest error.
    Internal,
}

/// Why the engine did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove \
         (or rename) that container to be able to reuse that name."
    )]
    NameInUse { name: String, id: String },
    /// `container ID is not running`, as the tail of the operation's own text or alone.
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("container {0} is paused, unpause the container before exec")]
    ExecPaused(String),
    #[error("container {0} is already paused")]
    AlreadyPaused(String),
    #[error("container {0} is not paused")]
    NotPaused(String),
    #[error("cannot kill container: {name}: {cause}")]
    CannotKill { name: String, cause: Box<EngineError> },
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
    /// The container is in the asked state already.
    #[error("container is already in the requested state")]
    NotModified,
    #[error("cannot remove container \"/{name}\": container is {state}: {advice}")]
    CannotRemove {
        name: String,
        state: &'static str,
        advice: &'static str,
    },
    #[error("removal of container {0} is already in progress")]
    RemovalInProgress(String),
    /// The program of a container could not be executed: `state_code` is its `State.ExitCode`.
    #[error("{message}")]
    StartFailed { message: String, state_code: i64 },
    #[error("configured logging driver does not support reading")]
    LogNotReadable,
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("sampan does not support {0} yet")]
    Unsupported(String),
    /// The machine could not be booted or went away; the text says why and what to do.
    #[error("the linux/{architecture} machine {what}")]
    Machine {
        architecture: Architecture,
        what: String,
    },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("another sampan service already uses {}: stop it first, or set SAMPAN_HOME to another folder", .0.display())]
    HomeInUse(PathBuf),
    #[error("the state database failed: {0}")]
    Database(String),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error("{0}")]
    Internal(String),
}

impl EngineError {
    /// The class of this error.
    pub fn status(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchExec(_) | Self::NotFound(_) => Kind::NotFound,
            Self::NameInUse { .. }
            | Self::NotRunning(_)
            | Self::ExecPaused(_)
            | Self::AlreadyPaused(_)
            | Self::NotPaused(_)
            | Self::StartPaused
            | Self::CannotRemove { .. }
            | Self::RemovalInProgress(_)
            | Self::Conflict(_) => Kind::Conflict,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::CannotKill { cause, .. } => cause.status(),
            Self::NotModified => Kind::NotModified,
            Self::StartFailed {
                state_code: 126 | 127,
                ..
            } => Kind::BadRequest,
            Self::AmbiguousPrefix(_) | Self::BadRequest(_) => Kind::BadRequest,
            Self::Unsupported(_) | Self::LogNotReadable => Kind::NotImplemented,
            Self::Machine { .. } => Kind::Unavailable,
            Self::Store(error) => store_kind(error),
            Self::StartFailed { .. }
            | Self::Io { .. }
            | Self::HomeInUse(_)
            | Self::Database(_)
            | Self::Internal(_) => Kind::Internal,
        }
    }

    /// Wraps an I/O error with what was attempted.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// How a server should answer an error of the store.
fn store_kind(error: &store::StoreError) -> Kind {
    match error.kind() {
        store::ErrorKind::Invalid => Kind::BadRequest,
        store::ErrorKind::NotFound => Kind::NotFound,
        store::ErrorKind::Conflict => Kind::Conflict,
        store::ErrorKind::Unauthorized => Kind::Unauthorized,
        store::ErrorKind::Denied | store::ErrorKind::Internal => Kind::Internal,
    }
}

/// The engine's result.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
