//! Names of images as people write them, as far as a client has to complete them.

/// Docker's own registry.
const DEFAULT_DOMAIN: &str = "docker.io";

/// A name cut into repository and tag or digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) repository: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) digest: Option<&'a str>,
}

/// Cuts a name. What is no name is left to the engine to refuse.
pub(crate) fn parts(name: &str) -> Parts<'_> {
    let (name, digest) = name
        .split_once('@')
        .map_or((name, None), |(name, digest)| (name, Some(digest)));
    let last_slash = name.rfind('/').unwrap_or(0);
    match name
        .rfind(':')
        .filter(|colon| *colon >= last_slash)
        .and_then(|colon| name.split_at_checked(colon))
    {
        Some((repository, tag)) => Parts {
            repository,
            tag: tag.strip_prefix(':'),
            digest,
        },
        None => Parts {
            repository: name,
            tag: None,
            digest,
        },
    }
}

/// The name with `:latest` where it has neither a tag nor a digest.
pub(crate) fn with_default_tag(name: &str) -> String {
    let parts = parts(name);
    if parts.tag.is_none() && parts.digest.is_none() {
        format!("{name}:latest")
    } else {
        name.to_owned()
    }
}

/// The registry of a name.
pub(crate) fn domain(name: &str) -> &str {
    match name.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => DEFAULT_DOMAIN,
    }
}

/// The name in full: `docker.io/library/alpine:latest`.
pub(crate) fn in_full(name: &str) -> String {
    let name = with_default_tag(name);
    if domain(&name) != DEFAULT_DOMAIN || name.starts_with("docker.io/") {
        name
    } else if parts(&name).repository.contains('/') {
        format!("{DEFAULT_DOMAIN}/{name}")
    } else {
        format!("{DEFAULT_DOMAIN}/library/{name}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("alpine", "docker.io/library/alpine:latest")]
    #[case("alpine:3", "docker.io/library/alpine:3")]
    #[case("me/app", "docker.io/me/app:latest")]
    #[case("localhost:5000/app", "localhost:5000/app:latest")]
    #[case("localhost/app:1", "localhost/app:1")]
    #[case("ghcr.io/a/b@sha256:ab", "ghcr.io/a/b@sha256:ab")]
    fn a_name_is_completed(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(in_full(name), expected);
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(parts("localhost:5000/a").tag, None);
        assert_eq!(parts("localhost:5000/a:1").tag, Some("1"));
        assert_eq!(domain("127.0.0.1:5000/a"), "127.0.0.1:5000");
        assert_eq!(domain("me/app"), "docker.io");
    }
}
