//! Why an answer did not come, in Docker's words where an engine cannot be reached (moby `client/request.go`).

use std::error::Error;
use std::io;
use std::path::PathBuf;

use hyper::StatusCode;

use crate::transport::{SshExit, TlsFault};

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("Error response from daemon: {message}")]
    Refused { status: StatusCode, message: String },
    /// This user's own service.
    #[error(
        "Cannot connect to the sampan service at {address}: {source}\n\
         Is it running? `sampan doctor` looks for what is wrong."
    )]
    Connect { address: String, source: io::Error },
    /// Another engine: nobody is there.
    #[error("Cannot connect to the Docker daemon at {0}. Is the docker daemon running?")]
    Absent(String),
    #[error("permission denied while trying to connect to the Docker daemon socket at {0}")]
    Denied(String),
    /// Another engine: it cannot be reached, or does not let this user in.
    #[error("error during connect: {0}")]
    Unreachable(io::Error),
    #[error("error during connect: {0}")]
    Tls(TlsFault),
    #[error("error during connect: {0}")]
    Ssh(SshExit),
    #[error("error during connect: {0}.\n* Are you trying to connect to a TLS-enabled daemon without TLS?")]
    NotPlain(hyper::Error),
    #[error(
        "the path of the service's socket, {}, is longer than this system takes: set SAMPAN_HOME to a shorter folder",
        .0.display()
    )]
    LongPath(PathBuf),
    /// The service was started and did not come up.
    #[error("The sampan service did not start: {0}")]
    Start(String),
    #[error("the connection to the sampan service broke off: {0}")]
    Broken(String),
    #[error("the sampan service's answer is not understood: {0}")]
    Answer(String),
    #[error("{0}")]
    Progress(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ClientError {
    /// The status of the engine's refusal.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Another engine, at `address`, that could not be connected to.
    pub(super) fn connecting(address: String, error: io::Error) -> Self {
        match known(&error) {
            Some(known) => known,
            None if nobody_is_there(&error) => Self::Absent(address),
            None if error.kind() == io::ErrorKind::PermissionDenied => Self::Denied(address),
            None => Self::Unreachable(error),
        }
    }
}

fn nobody_is_there(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound, TimedOut};
    // A name that cannot be looked up has a kind of its own, and a socket that is not there this one.
    matches!(error.kind(), ConnectionRefused | NotFound | TimedOut)
}

impl From<hyper::Error> for ClientError {
    fn from(error: hyper::Error) -> Self {
        known(&error).unwrap_or_else(|| Self::Broken(error.to_string()))
    }
}

/// What a transport knew better, somewhere among an error's causes.
fn known(error: &(dyn Error + 'static)) -> Option<ClientError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(carried) = carried {
            if let Some(exit) = carried.downcast_ref::<SshExit>() {
                return Some(ClientError::Ssh(exit.clone()));
            }
            if let Some(fault) = TlsFault::of(carried) {
                return Some(ClientError::Tls(fault));
            }
        }
        cause = error.source();
    }
    None
}
