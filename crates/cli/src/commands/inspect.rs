//! `inspect`: containers first, then images, as Docker tries them.

use hyper::StatusCode;
use serde_json::Value;

use crate::arguments::InspectArguments;
use crate::client::{Client, ClientError, Target};
use crate::failure::{Failure, Result};
use crate::output::{line, print, tell};
use crate::template::Template;

/// `sampan inspect`.
pub(crate) async fn run(client: &Client, arguments: InspectArguments) -> Result<()> {
    let template = template(arguments.format.as_deref())?;
    let mut found = Vec::new();
    let mut failed = false;
    for name in &arguments.names {
        match object(client, name, &arguments).await {
            Ok(value) => match &template {
                Some(template) => line(&rendered(template, &value)?)?,
                None => found.push(value),
            },
            Err(error) => {
                failed = true;
                // What was found is shown before what was not.
                found.push(Value::Null);
                tell(&error);
            }
        }
    }
    if template.is_none() {
        found.retain(|value| !value.is_null());
        print(&listed(&Value::Array(found))?)?;
    }
    if failed {
        Err(Failure {
            message: String::new(),
            code: 1,
        })
    } else {
        Ok(())
    }
}

/// The format of a single object: none for JSON over many lines.
pub(crate) fn template(format: Option<&str>) -> Result<Option<Template>> {
    let text = match format {
        None | Some("") => return Ok(None),
        Some("json") => "{{json .}}",
        Some(text) => text,
    };
    Template::parse(text).map(Some).map_err(|error| Failure {
        message: format!("template parsing error: {error}"),
        code: 64,
    })
}

/// One object through a template.
pub(crate) fn rendered(template: &Template, value: &Value) -> Result<String> {
    template
        .render(value)
        .map_err(|error| Failure::new(format!("template parsing error: {error}")))
}

/// JSON with Docker's indentation.
pub(crate) fn listed(value: &Value) -> Result<String> {
    if value.as_array().is_some_and(Vec::is_empty) {
        return Ok("[]\n".to_owned());
    }
    let mut text = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indented);
    serde::Serialize::serialize(value, &mut serializer).map_err(|error| Failure::new(error.to_string()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| Failure::new(error.to_string()))
}

async fn object(client: &Client, name: &str, arguments: &InspectArguments) -> Result<Value, String> {
    let kind = arguments.r#type.as_deref();
    let mut missing = None;
    if kind != Some("image") {
        let target = Target::new(&["containers", name, "json"]).with_flag("size", arguments.size);
        match client.get(&target).await {
            Err(error) if is_missing(&error) => missing = Some(error),
            other => return other.map_err(|error| error.to_string()),
        }
    }
    if kind != Some("container") {
        match client.get(&Target::new(&["images", name, "json"])).await {
            Err(error) if is_missing(&error) => missing = missing.filter(|_| kind.is_some()).or(Some(error)),
            other => return other.map_err(|error| error.to_string()),
        }
    }
    match (kind, missing) {
        (Some(_), Some(error)) => Err(error.to_string()),
        _ => Err(format!("Error: No such object: {name}")),
    }
}

fn is_missing(error: &ClientError) -> bool {
    error.status() == Some(StatusCode::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_listed_with_four_spaces() {
        assert_eq!(
            listed(&json!([{ "Id": "a" }])).unwrap(),
            "[\n    {\n        \"Id\": \"a\"\n    }\n]\n"
        );
        assert_eq!(listed(&json!([])).unwrap(), "[]\n");
    }
}
