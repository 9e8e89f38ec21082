//! Attributes as `docker logs --details` shows them before each line: `name=value` as in a URL's query, with commas
//! between.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::attributes::Attributes;

/// What Go's `url.QueryEscape` escapes, but for the space that it makes a plus.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b' ');

/// The text, without the space that parts it from the line.
pub(super) fn text(attributes: &Attributes) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string().replace(' ', "+");
    let pairs: Vec<String> = attributes
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_escaped_as_in_a_query() {
        let attributes = [("b", "x y,z"), ("a", "1")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(text(&attributes), "a=1,b=x+y%2Cz");
    }
}
