//! Content digests, `algorithm:hex` (OCI image-spec, `descriptor.md`). SHA-256 is the algorithm that every
//! registry and builder uses; another one is refused by name rather than taken unverified.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";
const HEX_LENGTH: usize = 64;

/// A SHA-256 digest, `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// A text is not a digest that sampan can verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:hex`.
    #[error("invalid checksum digest format")]
    Format,
    /// The hexadecimal part is not 64 digits.
    #[error("invalid checksum digest length")]
    Length,
    /// An algorithm other than SHA-256.
    #[error("unsupported digest algorithm")]
    Algorithm,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hasher(Sha256::new_with_prefix(bytes))
    }

    /// The digest of all that `hasher` was given.
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(format!("{PREFIX}{}", hex::encode(hasher.finalize())))
    }

    /// `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits, safe as a file name.
    pub fn hex(&self) -> &str {
        self.0.get(PREFIX.len()..).unwrap_or_default()
    }

    /// The first 12 hexadecimal digits, as Docker shows IDs.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Format)?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if algorithm.is_empty()
            || encoded.len() < 32
            || !encoded.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(DigestError::Format);
        }
        if algorithm != "sha256" {
            return Err(DigestError::Algorithm);
        }
        if encoded.len() != HEX_LENGTH {
            return Err(DigestError::Length);
        }
        if !encoded.bytes().all(is_hex) {
            return Err(DigestError::Format);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn what_could_escape_a_folder_or_go_unverified_is_refused() {
        let error = |text: &str| text.parse::<Digest>().unwrap_err();
        assert_eq!(error("sha256:../../etc"), DigestError::Format);
        assert_eq!(error(&format!("sha256:{}", "AB".repeat(32))), DigestError::Format);
        assert_eq!(error(&format!("sha256:{}", "ab".repeat(31))), DigestError::Length);
        assert_eq!(
            error(&format!("sha512:{}", "ab".repeat(64))),
            DigestError::Algorithm
        );
        assert_eq!(error("sha256"), DigestError::Format);
    }
}
