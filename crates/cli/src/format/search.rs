//! The rows of `search` (docker/cli `cli/command/registry/formatter_search.go`). Names and descriptions are
//! strangers' texts: what would steer a terminal, or turn the text on a line around, is not passed on to it.

use bollard_stubs::models::ImageSearchResponseItem;
use serde_json::{Value, json};

use super::Header;
use super::containers::ellipsis;

pub(crate) const DEFAULT_SEARCH: &str =
    "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}";

pub(crate) const SEARCH_HEADER: &Header = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

/// Characters of a description in a table.
const DESCRIPTION: usize = 45;

/// One repository's fields; `json` says the truth in words and not in marks.
pub(crate) fn search_row(item: &ImageSearchResponseItem, full: bool, json: bool) -> Value {
    let mark = |on: Option<bool>| match (on.unwrap_or(false), json) {
        (on, true) => on.to_string(),
        (true, false) => "[OK]".to_owned(),
        (false, false) => String::new(),
    };
    let description = printable(item.description.as_deref().unwrap_or_default());
    json!({
        "Name": printable(item.name.as_deref().unwrap_or_default()),
        "Description": if full { description } else { ellipsis(&description, DESCRIPTION) },
        "StarCount": item.star_count.unwrap_or(0).to_string(),
        "IsOfficial": mark(item.is_official),
        "IsAutomated": mark(item.is_automated),
    })
}

/// A stranger's text as one harmless line.
pub(super) fn printable(text: &str) -> String {
    let shown = |char: char| match char {
        '\n' | '\r' | '\t' => Some(' '),
        // Marks, embeddings, overrides and isolates of bidirectional text, and what separates lines.
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => None,
        char if char.is_control() => None,
        char => Some(char),
    };
    text.chars().filter_map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Listing;

    fn item(description: &str, official: bool) -> ImageSearchResponseItem {
        ImageSearchResponseItem {
            name: Some("alpine".to_owned()),
            description: Some(description.to_owned()),
            star_count: Some(7),
            is_official: Some(official),
            is_automated: Some(false),
        }
    }

    #[test]
    fn what_was_found_is_listed_as_docker_lists_it() {
        let found = [
            item(
                "A minimal image based on Alpine Linux with a complete index",
                true,
            ),
            item("small", false),
        ];
        let rows = found.iter().map(|item| search_row(item, false, false));
        let text = Listing::new(None, DEFAULT_SEARCH)
            .unwrap()
            .render(SEARCH_HEADER, rows)
            .unwrap();
        assert_eq!(
            text,
            "NAME      DESCRIPTION                                     STARS     OFFICIAL\n\
             alpine    A minimal image based on Alpine Linux with a…   7         [OK]\n\
             alpine    small                                           7         \n"
        );
    }

    #[test]
    fn a_description_cannot_steer_the_terminal() {
        let text = "\u{1b}]0;owned\u{7}a\nb\u{9b}31m\u{202e}c\u{7f}";
        assert_eq!(printable(text), "]0;owneda b31mc");
    }

    #[test]
    fn json_says_true_and_false() {
        let row = search_row(&item("", true), true, true);
        assert_eq!(
            (&row["IsOfficial"], &row["IsAutomated"]),
            (&json!("true"), &json!("false"))
        );
    }
}
