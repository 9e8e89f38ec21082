//! API versions: `/v1.43/containers/json` is the API as of 1.43, the same path without a version is the newest
//! (Docker Engine API, "Versioning").

use std::fmt;

/// A version of the Docker Engine API; the major number is 1 in all that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    /// The newest that is served.
    pub const NEWEST: Self = Self { major: 1, minor: 53 };
    /// The oldest that is served.
    pub const OLDEST: Self = Self { major: 1, minor: 24 };
    /// From here on a hijacked stream says in its content type whether it is multiplexed.
    pub const STREAM_TYPES: Self = Self { major: 1, minor: 42 };

    /// Version `major`.`minor`.
    pub(crate) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The client asks for a version that is not served. The texts are Docker's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unsupported {
    #[error("client version {0} is too new. Maximum supported API version is {newest}", newest = ApiVersion::NEWEST)]
    TooNew(ApiVersion),
    #[error(
        "client version {0} is too old. Minimum supported API version is {oldest}, \
         please upgrade your client to a newer version",
        oldest = ApiVersion::OLDEST
    )]
    TooOld(ApiVersion),
}

/// Splits a request's path into the version it names, or else the newest, and the path proper.
pub(crate) fn split(path: &str) -> Result<(ApiVersion, &str), Unsupported> {
    let Some((named, rest)) = path
        .strip_prefix("/v")
        .and_then(|rest| rest.find('/').and_then(|slash| rest.split_at_checked(slash)))
        .and_then(|(named, rest)| ApiVersion::parse(named).map(|version| (version, rest)))
    else {
        return Ok((ApiVersion::NEWEST, path));
    };
    if named > ApiVersion::NEWEST {
        return Err(Unsupported::TooNew(named));
    }
    if named < ApiVersion::OLDEST {
        return Err(Unsupported::TooOld(named));
    }
    Ok((named, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_without_a_version_means_the_newest() {
        assert_eq!(split("/_ping"), Ok((ApiVersion::NEWEST, "/_ping")));
        assert_eq!(split("/version"), Ok((ApiVersion::NEWEST, "/version")));
    }

    #[test]
    fn a_path_with_a_version_is_that_version() {
        assert_eq!(
            split("/v1.32/containers/json"),
            Ok((ApiVersion { major: 1, minor: 32 }, "/containers/json"))
        );
    }

    #[test]
    fn a_version_beyond_the_newest_is_refused_in_dockers_words() {
        assert_eq!(
            split("/v9.99/info").unwrap_err().to_string(),
            "client version 9.99 is too new. Maximum supported API version is 1.53"
        );
    }

    #[test]
    fn a_version_before_the_oldest_is_refused_in_dockers_words() {
        assert_eq!(
            split("/v1.12/info").unwrap_err().to_string(),
            "client version 1.12 is too old. Minimum supported API version is 1.24, \
             please upgrade your client to a newer version"
        );
    }

    proptest! {
        #[test]
        fn any_path_is_split_or_refused(path in "/v?[0-9.é/]{0,24}") {
            let _ = split(&path);
        }
    }
}
