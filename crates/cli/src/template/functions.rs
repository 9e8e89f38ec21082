//! The functions of a template: Go's own and those that Docker adds (docker/cli `templates`).

use std::cmp::Ordering;

use serde_json::Value;

use super::print::{formatted, is_true, value as printed};
use super::{Result, error};

const NAMES: [&str; 31] = [
    "and",
    "eq",
    "ge",
    "getDetailsOrder",
    "gt",
    "html",
    "index",
    "join",
    "js",
    "json",
    "le",
    "len",
    "lower",
    "lt",
    "ne",
    "not",
    "or",
    "pad",
    "print",
    "printf",
    "println",
    "quote",
    "slice",
    "split",
    "table",
    "title",
    "truncate",
    "upper",
    "urlquery",
    "trim",
    "contains",
];

/// The longest text that `pad` makes, in characters.
const WIDEST: i64 = 1000;

/// Whether there is a function of this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value> {
    Ok(match (name, arguments) {
        ("json", [value]) => Value::from(value.to_string()),
        ("print", values) => Value::from(values.iter().map(printed).collect::<Vec<_>>().join(" ")),
        ("println", values) => Value::from(values.iter().map(printed).collect::<Vec<_>>().join(" ") + "\n"),
        ("printf", [format, rest @ ..]) => Value::from(formatted(&printed(format), rest)),
        ("quote", [value]) => Value::from(crate::format::quoted(&printed(value))),
        ("lower", [value]) => Value::from(printed(value).to_lowercase()),
        ("upper", [value]) => Value::from(printed(value).to_uppercase()),
        ("trim", [value]) => Value::from(printed(value).trim()),
        ("title", [value]) => Value::from(title(&printed(value))),
        ("table", [value]) => value.clone(),
        ("html" | "js" | "urlquery", [value]) => Value::from(escaped(name, &printed(value))),
        ("contains", [text, part]) => Value::from(printed(text).contains(&printed(part))),
        ("join", [Value::Array(items), separator]) => Value::from(
            items
                .iter()
                .map(printed)
                .collect::<Vec<_>>()
                .join(&printed(separator)),
        ),
        ("join", [Value::Null, _]) => Value::from(""),
        ("split", [text, separator]) => Value::from(
            printed(text)
                .split(&printed(separator))
                .map(Value::from)
                .collect::<Vec<_>>(),
        ),
        ("pad", [text, before, after]) => {
            Value::from(format!("{}{}{}", spaces(before)?, printed(text), spaces(after)?))
        }
        ("truncate", [text, length]) => {
            let length = usize::try_from(integer(length)?).unwrap_or(0);
            Value::from(printed(text).chars().take(length).collect::<String>())
        }
        ("len", [Value::String(text)]) => Value::from(text.len()),
        ("len", [Value::Array(items)]) => Value::from(items.len()),
        ("len", [Value::Object(members)]) => Value::from(members.len()),
        ("index", [value, keys @ ..]) => index(value, keys)?,
        ("slice", [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds)?,
        ("not", [value]) => Value::Bool(!is_true(value)),
        ("and" | "or", [first, rest @ ..]) => {
            let all = std::iter::once(first).chain(rest);
            let decides = |value: &&Value| is_true(value) == (name == "or");
            let last = rest.last().unwrap_or(first);
            all.clone().find(decides).unwrap_or(last).clone()
        }
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            Value::Bool(rest.iter().any(|value| same(first, value)))
        }
        ("ne", [a, b]) => Value::Bool(!same(a, b)),
        ("lt", [a, b]) => Value::Bool(compare(a, b)? == Ordering::Less),
        ("le", [a, b]) => Value::Bool(compare(a, b)? != Ordering::Greater),
        ("gt", [a, b]) => Value::Bool(compare(a, b)? == Ordering::Greater),
        ("ge", [a, b]) => Value::Bool(compare(a, b)? != Ordering::Less),
        ("getDetailsOrder", [component]) => {
            let details = component.get("Details").and_then(Value::as_object);
            Value::from(
                details
                    .into_iter()
                    .flat_map(|details| details.keys().cloned())
                    .collect::<Vec<_>>(),
            )
        }
        _ => return error(format!("wrong arguments for {name}")),
    })
}

fn spaces(count: &Value) -> Result<String> {
    let count = integer(count)?.clamp(0, WIDEST);
    Ok(" ".repeat(usize::try_from(count).unwrap_or(0)))
}

fn title(text: &str) -> String {
    let mut first = true;
    let capital = |c: char| {
        let begins = std::mem::replace(&mut first, !(c.is_alphanumeric() || c == '_' || c == '\''));
        if begins {
            c.to_uppercase().collect::<String>()
        } else {
            c.to_string()
        }
    };
    text.chars().map(capital).collect()
}

fn escaped(how: &str, text: &str) -> String {
    match how {
        "urlquery" => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        "html" => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;"),
        _ => text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\'', "\\'")
            .replace('\n', "\\n"),
    }
}

fn integer(value: &Value) -> Result<i64> {
    value
        .as_i64()
        .map_or_else(|| error(format!("{} is no integer", printed(value))), Ok)
}

fn index(value: &Value, keys: &[Value]) -> Result<Value> {
    let mut value = value;
    for key in keys {
        let found = match value {
            Value::Array(items) => {
                let at = integer(key)?;
                match usize::try_from(at).ok().and_then(|at| items.get(at)) {
                    Some(item) => Some(item),
                    None => return error(format!("error calling index: index out of range: {at}")),
                }
            }
            Value::Object(members) => members.get(&printed(key)),
            Value::Null => None,
            other => return error(format!("error calling index: can't index {}", printed(other))),
        };
        match found {
            Some(found) => value = found,
            None => return Ok(Value::Null),
        }
    }
    Ok(value.clone())
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value> {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        other => return error(format!("error calling slice: can't slice {}", printed(other))),
    };
    let bound = |index: usize, default: usize| match bounds.get(index) {
        None => Ok(default),
        Some(bound) => integer(bound).map(|bound| usize::try_from(bound).unwrap_or(usize::MAX)),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    let part = match value {
        Value::String(text) => text.get(from..to).map(Value::from),
        Value::Array(items) => items.get(from..to).map(|items| Value::from(items.to_vec())),
        _ => None,
    };
    part.map_or_else(
        || error(format!("error calling slice: index out of range: {from}:{to}")),
        Ok,
    )
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn compare(a: &Value, b: &Value) -> Result<Ordering> {
    let ordered = match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    ordered.map_or_else(|| error("incompatible types for comparison"), Ok)
}
