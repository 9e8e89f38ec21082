//! Docker's contexts: names for engines, in a store that `docker` and its plugins share (docker/cli
//! `cli/context/store`).
//!
//! In `contexts` in `DOCKER_CONFIG`, or in `~/.docker`, a context has `meta/<id>/meta.json` and, for TLS,
//! `tls/<id>/<endpoint>/<file>`; `<id>` is the SHA-256 of its name. What is read there was written by others, and a
//! context may have come in an archive from anywhere, so that everything has a bound. Which context sampan talks to is
//! kept elsewhere: see [`choice`].

mod archive;
pub(crate) mod choice;
mod material;
mod metadata;
mod natural;
mod store;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(crate) use archive::{pack, unpack};
pub(crate) use material::Files;
pub(crate) use metadata::{Endpoint, Metadata};
pub(crate) use natural::natural;
pub(crate) use store::Store;

/// The context that is sampan's own service, or what `DOCKER_HOST` and its like name.
pub(crate) const DEFAULT: &str = "default";
/// The endpoint of a context that is a Docker engine.
pub(crate) const DOCKER: &str = "docker";
/// What Docker says of a name that is none.
const NAME_RULE: &str = "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$";

/// Why a context cannot be had, or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("there is no folder for contexts: set DOCKER_CONFIG to one")]
    NoFolder,
    #[error("context name cannot be empty")]
    NoName,
    #[error("\"default\" is a reserved context name")]
    Reserved,
    #[error("context name {0:?} is invalid, names are validated against regexp \"{NAME_RULE}\"")]
    Name(String),
    #[error("context {name:?}: context not found: open {}: no such file or directory", path.display())]
    NotFound { name: String, path: PathBuf },
    #[error("context {0:?} already exists")]
    Exists(String),
    #[error("context {0:?} does not exist")]
    DoesNotExist(String),
    #[error("{what} {}: {}", path.display(), reason(source))]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("parsing {}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("failed to read metadata: {0}")]
    Listed(Box<ContextError>),
    #[error("cannot find docker endpoint in context")]
    NoEndpoint,
    #[error("context {0:?} names no host: give it one with `sampan context update --docker host=…`")]
    NoHost(String),
    #[error("{0}")]
    Archive(String),
}

type Result<T, E = ContextError> = std::result::Result<T, E>;

/// A system's error in Go's words, where they are the usual ones.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::AlreadyExists => "file exists".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether a context may have this name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(ContextError::NoName);
    }
    if name == DEFAULT {
        return Err(ContextError::Reserved);
    }
    let letters = |char: char| char.is_ascii_alphanumeric() || "_.+-".contains(char);
    let valid = name.len() >= 2
        && name.starts_with(|char: char| char.is_ascii_alphanumeric())
        && name.chars().all(letters);
    if valid {
        Ok(())
    } else {
        Err(ContextError::Name(name.to_owned()))
    }
}

/// A regular file of `longest` bytes at most; one that is not there is an error of that kind.
pub(crate) fn read_file(path: &Path, longest: u64) -> Result<Vec<u8>> {
    let failed = |source| ContextError::Io {
        what: "open",
        path: path.to_owned(),
        source,
    };
    let malformed = |reason: &str| ContextError::Malformed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    // A named pipe would be waited for.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(malformed("it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(longest.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > longest {
        return Err(malformed(&format!("it is longer than {longest} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("far", true)]
    #[case("a.b_c+d-1", true)]
    #[case("", false)]
    #[case("x", false)]
    #[case("-x", false)]
    #[case("default", false)]
    #[case("a b", false)]
    #[case("../x", false)]
    #[case("naïve", false)]
    fn a_contexts_name_is_letters_digits_and_a_few_marks(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(check_name(name).is_ok(), valid);
    }
}
