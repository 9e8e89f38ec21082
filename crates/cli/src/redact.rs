//! Taking secrets out of what goes into a bug report.
//!
//! Nobody can tell a secret from any other text for certain, so four nets hang behind each other, and where they are in
//! doubt they take too much:
//!
//! - *places*: where Docker's API has secrets (`Env`, labels, members that are called like secrets), nothing but the
//!   name stays;
//! - *arguments*: what follows `--password` and its kin, and the flags by which well-known programs take one;
//! - *forms*: URLs with credentials, headers, tokens, private keys, `password=…` (`patterns`);
//! - *learned*: what was found in one place is taken out of every other, such as a password of an environment variable
//!   that a program has logged.
//!
//! A person's home folder becomes `~`, and the name of a person in the path of another home `USER`.

mod arguments;
mod patterns;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use patterns::Patterns;

/// What stands where a secret was.
pub(crate) const MARK: &str = "REDACTED";
/// Shorter texts are not learned: taken out everywhere, they would take the report with them.
const SHORTEST: usize = 6;
/// Texts that are learned at most.
const MOST_LEARNED: usize = 4096;
/// How deep JSON is looked into; what lies deeper is left out.
const DEEPEST: usize = 64;
/// Labels that say what a tool did, in whose values no person writes.
const TOLD_LABELS: [&str; 2] = ["com.docker.", "org.opencontainers.image."];

/// Takes secrets out of texts.
#[derive(Debug)]
pub(crate) struct Redactor {
    patterns: Patterns,
    learned: Vec<String>,
    /// The person's home folder.
    home: Option<String>,
}

impl Redactor {
    /// One that has learned nothing yet. An error is a mistake in the patterns.
    pub(crate) fn new(home: Option<String>) -> Result<Self, regex::Error> {
        Ok(Self {
            patterns: Patterns::new()?,
            learned: Vec::new(),
            home: home.filter(|home| home.len() > 1),
        })
    }

    /// Takes a secret out of everything from now on, and out of JSON in which it is escaped.
    pub(crate) fn learn(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < SHORTEST || secret == MARK {
            return;
        }
        let escaped = Value::from(secret).to_string();
        let escaped = escaped.trim_matches('"').to_owned();
        for form in [secret.to_owned(), escaped] {
            if self.learned.len() < MOST_LEARNED && !self.learned.contains(&form) {
                self.learned.push(form);
            }
        }
        // A secret that is part of another must not leave the rest of that behind.
        self.learned.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Learns what stands before the `@` of a proxy's or another URL.
    pub(crate) fn learn_url(&mut self, url: &str) {
        let Some((before, _)) = url.rsplit_once('@') else {
            return;
        };
        let userinfo = before.split_once("://").map_or(before, |(_, rest)| rest);
        self.learn(userinfo);
        if let Some((_, password)) = userinfo.split_once(':') {
            self.learn(password);
        }
    }

    /// Learns the secrets in Docker's JSON: environments, arguments, members that are called like secrets.
    pub(crate) fn learn_json(&mut self, value: &Value) {
        let mut secrets = Vec::new();
        self.collect(value, 0, &mut secrets);
        for secret in secrets {
            self.learn(&secret);
        }
    }

    fn collect(&self, value: &Value, depth: usize, secrets: &mut Vec<String>) {
        if depth > DEEPEST {
            return;
        }
        match value {
            Value::Array(items) => {
                let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                secrets.extend(arguments::secrets(&words, &self.patterns).map(str::to_owned));
                items
                    .iter()
                    .for_each(|item| self.collect(item, depth + 1, secrets));
            }
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if self.patterns.is_secret_name(name) => {
                            secrets.push(text.clone())
                        }
                        Value::Array(entries) if name == "Env" => {
                            let entries = entries.iter().filter_map(Value::as_str);
                            let entries = entries.filter_map(|entry| entry.split_once('='));
                            secrets.extend(
                                entries
                                    .filter(|(name, value)| {
                                        self.patterns.is_secret_name(name) || patterns::looks_random(value)
                                    })
                                    .map(|(_, value)| value.to_owned()),
                            );
                        }
                        value => self.collect(value, depth + 1, secrets),
                    }
                }
            }
            _ => {}
        }
    }

    /// A text without what was learned and what has the form of a secret.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.learned {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MARK);
            }
        }
        text = self.patterns.redact(&text);
        if let Some(home) = &self.home {
            text = without_home(&text, home);
        }
        self.patterns.without_persons(&text)
    }

    /// Docker's JSON without what its places and the texts in it have of secrets.
    pub(crate) fn json(&self, value: &Value) -> Value {
        self.value(value, 0)
    }

    fn value(&self, value: &Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return MARK.into();
        }
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => self.array(items, depth),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| (self.text(name), self.member(name, value, depth)))
                .collect::<Map<String, Value>>()
                .into(),
            other => other.clone(),
        }
    }

    fn array(&self, items: &[Value], depth: usize) -> Value {
        let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        match words {
            Some(words) => arguments::redacted(&words, &self.patterns)
                .iter()
                .map(|word| self.text(word))
                .collect(),
            None => items.iter().map(|item| self.value(item, depth + 1)).collect(),
        }
    }

    fn member(&self, name: &str, value: &Value, depth: usize) -> Value {
        match (name, value) {
            ("Env", Value::Array(entries)) => entries.iter().map(environment).collect(),
            ("Labels" | "Annotations" | "Options" | "DriverOpts", Value::Object(labels)) => labels
                .iter()
                .map(|(label, value)| {
                    let told = TOLD_LABELS.iter().any(|prefix| label.starts_with(prefix));
                    let value = if told {
                        self.member(label, value, depth + 1)
                    } else {
                        blank(value)
                    };
                    (self.text(label), value)
                })
                .collect::<Map<String, Value>>()
                .into(),
            (name, value) if self.patterns.is_secret_name(name) => blank(value),
            (_, value) => self.value(value, depth + 1),
        }
    }
}

/// The name alone.
fn environment(entry: &Value) -> Value {
    let entry = entry.as_str().unwrap_or_default();
    match entry.split_once('=') {
        Some((name, _)) => format!("{name}={MARK}").into(),
        None => entry.into(),
    }
}

/// The same without any text in it.
fn blank(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Array(items) if items.is_empty() => value.clone(),
        Value::Object(members) if members.is_empty() => value.clone(),
        _ => MARK.into(),
    }
}

/// The person's own home folder as `~`, where it is a whole path and not the beginning of another's name.
fn without_home(text: &str, home: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(home) {
        result.push_str(before);
        let goes_on = after
            .chars()
            .next()
            .is_some_and(|next| next.is_alphanumeric() || matches!(next, '-' | '_' | '.'));
        result.push_str(if goes_on { home } else { "~" });
        rest = after;
    }
    result.push_str(rest);
    result
}
