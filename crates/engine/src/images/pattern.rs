//! Patterns over image names, as Docker's `reference` filter has them.

/// A pattern over `name`, `name:tag`, with `*` for anything but a slash, as Docker's `reference` filter has
/// it.
pub(super) fn reference_matches(tag: &str, pattern: &str) -> bool {
    let name = tag
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .map_or(tag, |(name, _)| name);
    glob(pattern.as_bytes(), tag.as_bytes()) || glob(pattern.as_bytes(), name.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // One row of the usual table: which lengths of `text` the pattern so far can match.
    let mut reach = vec![false; text.len().saturating_add(1)];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for symbol in pattern {
        let mut next = vec![false; reach.len()];
        let mut star = false;
        for (length, slot) in next.iter_mut().enumerate() {
            let here = reach.get(length).copied().unwrap_or(false);
            let before = length
                .checked_sub(1)
                .and_then(|before| Some((before, *text.get(before)?)));
            *slot = match symbol {
                b'*' => {
                    star = here || (star && before.is_some_and(|(_, byte)| byte != b'/'));
                    star
                }
                b'?' => before.is_some_and(|(before, byte)| byte != b'/' && reach.get(before) == Some(&true)),
                symbol => {
                    before.is_some_and(|(before, byte)| byte == *symbol && reach.get(before) == Some(&true))
                }
            };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("alpine:latest", "alpine", true)]
    #[case("alpine:latest", "alpine:la*", true)]
    #[case("alpine:latest", "al?ine", true)]
    #[case("localhost:5000/a/b:1", "localhost:5000/*/b", true)]
    #[case("localhost:5000/a/b:1", "localhost:5000/*", false)]
    #[case("alpine:latest", "pine", false)]
    fn a_reference_pattern_matches_names_and_tags(
        #[case] tag: &str,
        #[case] pattern: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(reference_matches(tag, pattern), matches);
    }
}
