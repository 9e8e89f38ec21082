//! `WWW-Authenticate` (RFC 9110, 11.6.1): how a registry wants to be spoken to.

/// Longest header value looked at, in bytes.
const MAX_LENGTH: usize = 8192;

/// One way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// Name and password.
    Basic,
}

/// The first challenge in a header that sampan can answer, bearer tokens before passwords.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut challenges: Vec<Challenge> = headers.flat_map(parse).collect();
    challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
    challenges.into_iter().next()
}

fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.get(..MAX_LENGTH).unwrap_or(header);
    while let Some((scheme, after)) = token(rest.trim_start_matches([' ', '\t', ','])) {
        let (parameters, after) = parameters(after);
        let get = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found
                .map(|(_, value)| value.clone())
                .filter(|value| !value.is_empty())
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            if let Some(realm) = get("realm") {
                found.push(Challenge::Bearer {
                    realm,
                    service: get("service"),
                    scope: get("scope"),
                });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        }
        rest = after;
    }
    found
}

/// `name=value` pairs up to the next scheme.
fn parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    loop {
        let start = rest.trim_start_matches([' ', '\t', ',']);
        let Some((name, after)) = token(start) else {
            return (parameters, start);
        };
        let Some(after) = after.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            return (parameters, start);
        };
        let after = after.trim_start_matches([' ', '\t']);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => match token(after) {
                Some((value, after)) => (value.to_owned(), after),
                None => (String::new(), after),
            },
        };
        parameters.push((name.to_owned(), value));
        rest = after;
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |char: char| char.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(char);
    let end = text.find(|char| !is_token(char)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return (value, text.get(index + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, char)| char)),
            _ => value.push(char),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(header: &str) -> Option<Challenge> {
        choose(std::iter::once(header))
    }

    #[test]
    fn a_token_challenge_is_read_with_its_commas() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        assert_eq!(
            one(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: Some("registry.example".to_owned()),
                scope: Some("repository:a/b:pull,push".to_owned()),
            })
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password_and_unknown_schemes_are_passed_over() {
        let header = r#"Negotiate, Basic realm="x", bearer realm=https"#;
        assert!(matches!(one(header), Some(Challenge::Bearer { .. })));
        assert_eq!(one(r#"Digest a="b", Basic realm="x\"y""#), Some(Challenge::Basic));
        assert_eq!(one("Bearer"), None);
        assert_eq!(one(""), None);
    }

    proptest! {
        #[test]
        fn any_header_comes_to_an_end(header in "\\PC{0,200}") {
            let _ = one(&header);
        }

        #[test]
        fn any_punctuation_comes_to_an_end(header in "[bB=\", \\\\earic]{0,60}") {
            let _ = one(&header);
        }
    }
}
