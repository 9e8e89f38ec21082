//! `inspect`: containers first, then images, networks and volumes, as Docker tries them.

use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{ContainerInspectArguments, ImageInspectArguments, InspectArguments, ObjectArguments};
use crate::client::{Client, ClientError, Target};
use crate::failure::{Failure, Result};
use crate::output::{line, print, tell};
use crate::template::Template;

/// Which objects are meant, and what is told of them.
#[derive(Default)]
struct Wanted {
    /// All kinds in turn where none is given.
    kind: Option<String>,
    size: bool,
    platform: Option<String>,
    verbose: bool,
}

/// `sampan inspect`.
pub(crate) async fn run(client: &Client, arguments: InspectArguments) -> Result<()> {
    let InspectArguments {
        format,
        size,
        r#type: kind,
        names,
    } = arguments;
    let wanted = Wanted {
        kind,
        size,
        ..Wanted::default()
    };
    several(client, format.as_deref(), &names, &wanted).await
}

async fn several(client: &Client, format: Option<&str>, names: &[String], wanted: &Wanted) -> Result<()> {
    let template = template(format)?;
    let mut found = Vec::new();
    let mut failed = false;
    for name in names {
        match object(client, name, wanted).await {
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

/// `container inspect`.
pub(crate) async fn container(client: &Client, arguments: ContainerInspectArguments) -> Result<()> {
    let ContainerInspectArguments { format, size, names } = arguments;
    let wanted = Wanted {
        kind: Some("container".to_owned()),
        size,
        ..Wanted::default()
    };
    several(client, format.as_deref(), &names, &wanted).await
}

/// `image inspect`.
pub(crate) async fn image(client: &Client, arguments: ImageInspectArguments) -> Result<()> {
    let ImageInspectArguments {
        format,
        platform,
        names,
    } = arguments;
    let wanted = Wanted {
        kind: Some("image".to_owned()),
        platform,
        ..Wanted::default()
    };
    several(client, format.as_deref(), &names, &wanted).await
}

/// `volume inspect` and its like.
pub(crate) async fn named(
    client: &Client,
    kind: &str,
    arguments: ObjectArguments,
    verbose: bool,
) -> Result<()> {
    let wanted = Wanted {
        kind: Some(kind.to_owned()),
        verbose,
        ..Wanted::default()
    };
    several(client, arguments.format.as_deref(), &arguments.names, &wanted).await
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
    indented(value)
}

/// The same of anything that is not an empty list.
pub(crate) fn indented(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indented);
    value
        .serialize(&mut serializer)
        .map_err(|error| Failure::new(error.to_string()))?;
    text.push(b'\n');
    String::from_utf8(text).map_err(|error| Failure::new(error.to_string()))
}

/// The kinds in the order in which they are tried, each with the path of one of them.
const KINDS: [(&str, &str, bool); 4] = [
    ("container", "containers", true),
    ("image", "images", true),
    ("network", "networks", false),
    ("volume", "volumes", false),
];

async fn object(client: &Client, name: &str, asked: &Wanted) -> Result<Value, String> {
    let wanted = asked.kind.as_deref().filter(|kind| !kind.is_empty());
    if let Some(kind) = wanted
        && !KINDS.iter().any(|(known, ..)| *known == kind)
    {
        return Err(format!("\"{kind}\" is not a valid value for --type"));
    }
    let mut missing = None;
    for (kind, path, with_json) in KINDS {
        if wanted.is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let target = if with_json {
            Target::new(&[path, name, "json"])
        } else {
            Target::new(&[path, name])
        };
        let target = target
            .with_flag("size", asked.size && kind == "container")
            .with_some("platform", asked.platform.as_deref())
            .with_flag("verbose", asked.verbose);
        match client.get(&target).await {
            Err(error) if is_missing(&error) => missing = Some(error),
            other => return other.map_err(|error| error.to_string()),
        }
    }
    match (wanted, missing) {
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
