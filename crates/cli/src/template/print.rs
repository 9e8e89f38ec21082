//! Values as Go prints them.

use serde_json::Value;

/// `fmt.Print` of a value.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inner).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{name}:{}", inner(value)))
                .collect();
            format!("map[{}]", members.join(" "))
        }
    }
}

/// A value inside another; only there does Go write `<nil>`.
fn inner(inside: &Value) -> String {
    if inside.is_null() {
        "<nil>".to_owned()
    } else {
        value(inside)
    }
}

/// Go's truth: everything but false, zero, and what is empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// The widest that a verb may pad to.
const WIDEST: usize = 1000;

/// `fmt.Sprintf` with the verbs `%s %v %d %q %t %x %%`, a width, `-` and `0`.
pub(super) fn formatted(format: &str, arguments: &[Value]) -> String {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut characters = format.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = characters.next_if(|c| matches!(c, '-' | '0' | '+' | '#' | ' ')) {
            flags.push(flag);
        }
        let mut width = 0usize;
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            width = width
                .saturating_mul(10)
                .saturating_add(digit.to_digit(10).unwrap_or(0) as usize)
                .min(WIDEST);
        }
        let Some(verb) = characters.next() else {
            text.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            text.push('%');
            continue;
        }
        let Some(argument) = arguments.next() else {
            text.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let shown = match verb {
            'q' => crate::format::quoted(&value(argument)),
            'x' => match argument {
                Value::Number(number) => number
                    .as_i64()
                    .map_or_else(|| number.to_string(), |n| format!("{n:x}")),
                other => value(other).bytes().map(|byte| format!("{byte:02x}")).collect(),
            },
            's' | 'v' | 'd' | 't' => value(argument),
            other => format!("%!{other}({})", value(argument)),
        };
        let missing = width.saturating_sub(shown.chars().count());
        let zeros = flags.contains('0') && !flags.contains('-') && argument.is_number();
        let padding = if zeros { "0" } else { " " }.repeat(missing);
        if flags.contains('-') {
            text.push_str(&shown);
            text.push_str(&padding);
        } else {
            text.push_str(&padding);
            text.push_str(&shown);
        }
    }
    text
}
