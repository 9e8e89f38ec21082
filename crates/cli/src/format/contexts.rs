//! The rows of `context ls` (docker/cli `cli/command/formatter/context.go`). What is in a context came from anywhere.

use serde_json::{Value, json};

use super::Header;
use super::containers::ellipsis;
use super::search::printable;

pub(crate) const DEFAULT_CONTEXTS: &str =
    "table {{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}";

pub(crate) const CONTEXT_HEADER: &Header = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("Current", ""),
];

/// Characters of an error.
const ERROR: usize = 45;

/// What is listed of one context.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListedContext {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) endpoint: String,
    pub(crate) current: bool,
    pub(crate) error: String,
}

/// One context's fields.
pub(crate) fn context_row(context: &ListedContext) -> Value {
    json!({
        "Name": printable(&context.name),
        "Description": printable(&context.description),
        "DockerEndpoint": printable(&context.endpoint),
        "Current": context.current,
        "Error": ellipsis(&printable(&context.error), ERROR),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Listing;

    #[test]
    fn the_current_context_has_a_star() {
        let far = ListedContext {
            name: "far".to_owned(),
            description: "a \u{1b}[31mfar one".to_owned(),
            endpoint: "ssh://me@far".to_owned(),
            current: true,
            ..ListedContext::default()
        };
        let broken = ListedContext {
            name: "gone".to_owned(),
            error: "context \"gone\": context not found: open /home/me".to_owned(),
            ..ListedContext::default()
        };
        let text = Listing::new(None, DEFAULT_CONTEXTS)
            .unwrap()
            .render(CONTEXT_HEADER, [context_row(&far), context_row(&broken)])
            .unwrap();
        assert_eq!(
            text,
            "NAME      DESCRIPTION     DOCKER ENDPOINT   ERROR\n\
             far *     a [31mfar one   ssh://me@far      \n\
             gone                                        context \"gone\": context not found: open /hom…\n"
        );
    }
}
