//! `--format` of lists (docker/cli `cli/command/formatter`): a template for each row, `json`, or either after the
//! word `table`, which puts a header above and aligns the columns.

use serde_json::{Map, Value};

use super::table;
use crate::failure::{Failure, Result};
use crate::template::Template;

/// A field's name and its column's header.
pub(crate) type Header = [(&'static str, &'static str)];

/// A list's format.
#[derive(Debug)]
pub(crate) struct Listing {
    template: Template,
    table: bool,
}

impl Listing {
    /// `default` is the table that the word `table` alone, or no format at all, means.
    pub(crate) fn new(format: Option<&str>, default: &str) -> Result<Self> {
        let format = format.filter(|format| !format.is_empty()).unwrap_or("table");
        let format = if format == "table" { default } else { format };
        let (template, table) = match format.strip_prefix("table") {
            Some(template) => (template.trim(), true),
            None => (format, false),
        };
        let template = if template == "json" {
            "{{json .}}"
        } else {
            template
        };
        let template = template.replace("\\t", "\t").replace("\\n", "\n");
        let template = Template::parse(&template).map_err(|error| Failure {
            message: format!("template parsing error: {error}"),
            code: 64,
        })?;
        Ok(Self { template, table })
    }

    /// Whether the template mentions a field.
    pub(crate) fn uses(&self, field: &str) -> bool {
        self.template.uses(field)
    }

    /// The whole list.
    pub(crate) fn render(&self, header: &Header, rows: impl IntoIterator<Item = Value>) -> Result<String> {
        let mut text = String::new();
        if self.table {
            let names: Map<String, Value> = header
                .iter()
                .map(|(field, name)| ((*field).to_owned(), Value::from(*name)))
                .collect();
            text.push_str(&self.row(&Value::Object(names))?);
        }
        for row in rows {
            text.push_str(&self.row(&row)?);
        }
        Ok(if self.table {
            table::align(&text, table::LIST)
        } else {
            text
        })
    }

    fn row(&self, row: &Value) -> Result<String> {
        let mut line = self
            .template
            .render_strict(row)
            .map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
        line.push('\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEADER: &Header = &[("Names", "NAMES"), ("Image", "IMAGE")];
    const DEFAULT: &str = "table {{.Names}}\\t{{.Image}}";

    fn listed(format: Option<&str>) -> String {
        let rows = [json!({ "Names": "web", "Image": "alpine" })];
        Listing::new(format, DEFAULT)
            .unwrap()
            .render(HEADER, rows)
            .unwrap()
    }

    #[test]
    fn without_a_format_it_is_the_default_table() {
        assert_eq!(listed(None), "NAMES     IMAGE\nweb       alpine\n");
    }

    #[test]
    fn a_template_alone_has_no_header() {
        assert_eq!(listed(Some("{{.Names}}\\t{{.Image}}")), "web\talpine\n");
    }

    #[test]
    fn the_word_table_needs_no_space_and_a_backslash_t_is_a_tab_even_in_table() {
        assert_eq!(
            listed(Some("table{{.Names}}\\table{{.Image}}")),
            "NAMES     ableIMAGE\nweb       ablealpine\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        assert_eq!(listed(Some("json")), "{\"Image\":\"alpine\",\"Names\":\"web\"}\n");
        assert_eq!(listed(Some("{{json .}}")), listed(Some("json")));
    }

    #[test]
    fn a_field_that_does_not_exist_is_an_error() {
        let listing = Listing::new(Some("{{.Nope}}"), DEFAULT).unwrap();
        let error = listing.render(HEADER, [json!({ "Names": "web" })]).unwrap_err();
        assert!(error.message.contains("Nope"), "{}", error.message);
    }

    #[test]
    fn a_template_that_does_not_parse_is_told() {
        assert!(
            Listing::new(Some("{{.Names"), DEFAULT)
                .unwrap_err()
                .message
                .starts_with("template parsing error")
        );
    }
}
