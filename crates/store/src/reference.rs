//! Image references: `[domain/]path[:tag][@digest]`.
//!
//! The grammar is the one of the distribution project's `reference` package, the normalisation (default domain
//! `docker.io`, `library/` for official images, tag `latest`) and the error texts are Docker's, because people
//! and scripts know them.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// The domain that a name without one belongs to.
const DEFAULT_DOMAIN: &str = "docker.io";
/// An older spelling of the default domain.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// The folder of official images on the default domain.
const OFFICIAL_PREFIX: &str = "library/";
/// The tag of a reference that has neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// Longest path of a repository, in bytes.
const MAX_NAME: usize = 255;
/// Longest tag, in bytes.
const MAX_TAG: usize = 128;
/// Longest reference looked at, in bytes: name, tag and the longest digest fit with room.
const MAX_REFERENCE: usize = 1024;

/// A normalised image reference: it always has a domain, and a tag or a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A reference was not understood; the texts are Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// The repository has an upper-case letter.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UpperCase(String),
    /// The repository is 64 hexadecimal digits, which Docker keeps for image IDs.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// The path is longer than a registry accepts.
    #[error("repository name must not be more than {MAX_NAME} characters")]
    TooLong,
    /// The digest is malformed or of an algorithm other than SHA-256.
    #[error("{0}")]
    Digest(#[from] DigestError),
}

impl Reference {
    /// The registry, with a port where one was given: `docker.io`, `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, `None` only when there is a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of a manifest or index.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: `docker.io/library/alpine`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as Docker shows it: `alpine`, `localhost:5000/team/app`.
    pub fn familiar_name(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            match self.path.strip_prefix(OFFICIAL_PREFIX) {
                Some(rest) if !rest.contains('/') => rest.to_owned(),
                _ => self.path.clone(),
            }
        } else {
            self.name()
        }
    }

    /// The whole reference as Docker shows it: `alpine:latest`, `alpine@sha256:…`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The same repository with a tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// The same repository with a digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_REFERENCE {
            return Err(ReferenceError::Format);
        }
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let upper = remainder.split(':').next().unwrap_or_default();
        if upper.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(upper.to_owned()));
        }
        let (rest, digest) = match remainder.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (remainder, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !is_domain(domain) || !path.split('/').all(is_component) || !tag.is_none_or(is_tag) {
            return Err(ReferenceError::Format);
        }
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
            format!("{OFFICIAL_PREFIX}{path}")
        } else {
            path.to_owned()
        };
        if path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        let digest = digest
            .map(|digest| match digest.parse::<Digest>() {
                Err(DigestError::Format) => Err(ReferenceError::Format),
                other => Ok(other?),
            })
            .transpose()?;
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self {
            domain: domain.to_owned(),
            path,
            tag,
            digest,
        })
    }
}

/// The domain and what follows it. A first component counts as a domain when it has a dot or a colon, is
/// `localhost`, or has an upper-case letter (which a path may not have).
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (
                if first == LEGACY_DOMAIN {
                    DEFAULT_DOMAIN
                } else {
                    first
                },
                rest,
            )
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) => {
                let v6 = !address.is_empty()
                    && address
                        .bytes()
                        .all(|byte| byte.is_ascii_hexdigit() || byte == b':');
                if !v6 {
                    return false;
                }
                match after.strip_prefix(':') {
                    Some(port) => (None, Some(port)),
                    None if after.is_empty() => (None, None),
                    None => return false,
                }
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lower-case letters and digits, joined by one dot, one or two underscores, or any number of dashes.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator: Vec<u8> = Vec::new();
    let mut seen = false;
    for byte in text.bytes() {
        if alphanumeric(byte) {
            let joined = match separator.as_slice() {
                [] | b"." | b"_" | b"__" => true,
                dashes => dashes.iter().all(|byte| *byte == b'-'),
            };
            if !joined || (!seen && !separator.is_empty()) {
                return false;
            }
            separator.clear();
            seen = true;
        } else if matches!(byte, b'.' | b'_' | b'-') {
            separator.push(byte);
        } else {
            return false;
        }
    }
    seen && separator.is_empty()
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_name_is_an_official_image_with_the_tag_latest() {
        let reference = parsed("alpine");
        assert_eq!(reference.to_string(), "docker.io/library/alpine:latest");
        assert_eq!(reference.familiar(), "alpine:latest");
    }

    #[test]
    fn a_first_component_with_dot_or_port_or_localhost_is_a_registry() {
        for (text, domain, path) in [
            ("localhost/x", "localhost", "x"),
            ("localhost:5000/x/y:1", "localhost:5000", "x/y"),
            ("ghcr.io/a/b", "ghcr.io", "a/b"),
            ("index.docker.io/x", "docker.io", "library/x"),
            ("a/b", "docker.io", "a/b"),
            ("[::1]:5000/x", "[::1]:5000", "x"),
            ("UPPER/x", "UPPER", "x"),
        ] {
            let reference = parsed(text);
            assert_eq!((reference.domain(), reference.path()), (domain, path), "{text}");
        }
    }

    #[test]
    fn a_digest_alone_gets_no_tag_and_both_are_kept_together() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let reference = parsed(&format!("alpine@{digest}"));
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.familiar(), format!("alpine@{digest}"));
        assert_eq!(
            parsed(&format!("alpine:3@{digest}")).familiar(),
            format!("alpine:3@{digest}")
        );
    }

    #[test]
    fn errors_are_in_dockers_words() {
        let error = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
        assert_eq!(error(""), "invalid reference format");
        assert_eq!(error("a//b"), "invalid reference format");
        assert_eq!(error("x:"), "invalid reference format");
        assert_eq!(error("x@sha256:12"), "invalid reference format");
        assert_eq!(error("-x"), "invalid reference format");
        assert_eq!(error("a___b"), "invalid reference format");
        assert_eq!(
            error("Alpine"),
            "invalid reference format: repository name (Alpine) must be lowercase"
        );
        assert!(error(&"ab".repeat(32)).contains("cannot specify 64-byte hexadecimal strings"));
        assert_eq!(
            error(&"a".repeat(300)),
            "repository name must not be more than 255 characters"
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_to_the_same_reference_again_or_is_refused(text in "\\PC{0,80}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(&parsed(&reference.to_string()), &reference);
                prop_assert_eq!(&parsed(&reference.familiar()), &reference);
            }
        }

        #[test]
        fn every_reference_of_the_grammar_survives_both_spellings(
            domain in prop_oneof![Just(""), Just("docker.io/"), Just("localhost:5000/"), Just("a-b.example/")],
            path in "[a-z0-9]{1,5}(/[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,3}",
            tag in prop_oneof![Just(String::new()), "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}".prop_map(|tag| format!(":{tag}"))],
        ) {
            let reference = parsed(&format!("{domain}{path}{tag}"));
            prop_assert_eq!(&parsed(&reference.to_string()), &reference);
            prop_assert_eq!(&parsed(&reference.familiar()), &reference);
        }
    }
}
