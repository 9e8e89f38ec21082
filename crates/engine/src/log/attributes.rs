//! What the options `labels`, `labels-regex`, `env`, `env-regex` and `tag` add to every entry of a run
//! (moby `daemon/logger/loginfo.go`).
//!
//! Docker's tag is a Go template over the container; of these, what its documentation names can be used: `{{.ID}}`,
//! `{{.FullID}}`, `{{.Name}}`, `{{.ImageID}}`, `{{.ImageFullID}}`, `{{.ImageName}}` and `{{.DaemonName}}`.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;

/// Attributes by their names.
pub(crate) type Attributes = BTreeMap<String, String>;

/// The most that the attributes of one entry may have as JSON, in bytes: half of the longest entry.
const LONGEST: usize = 512 << 10;
/// Digits of a short ID.
const SHORT: usize = 12;

/// The container that a log is of.
#[derive(Debug, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    /// `sha256:…`.
    pub(crate) image_id: &'a str,
    pub(crate) image_name: &'a str,
    pub(crate) labels: Option<&'a HashMap<String, String>>,
    /// As `NAME=value`.
    pub(crate) env: &'a [String],
}

/// Whether the options can be understood.
pub(super) fn check(options: &HashMap<String, String>) -> Result<(), String> {
    attributes(options, &Subject::default()).map(drop)
}

/// The attributes of a container's entries.
pub(super) fn attributes(
    options: &HashMap<String, String>,
    subject: &Subject<'_>,
) -> Result<Attributes, String> {
    let option = |name: &str| options.get(name).filter(|value| !value.is_empty());
    let expression = |name: &str| {
        option(name)
            .map(|text| Regex::new(text).map_err(|error| error.to_string()))
            .transpose()
    };
    let labels = subject
        .labels
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let env = subject.env.iter().filter_map(|variable| variable.split_once('='));
    let mut chosen = Attributes::new();
    choose(&mut chosen, labels, option("labels"), expression("labels-regex")?);
    choose(&mut chosen, env, option("env"), expression("env-regex")?);
    if let Some(template) = option("tag") {
        chosen.insert("tag".to_owned(), tag(template, subject)?);
    }
    let length = serde_json::to_string(&chosen).map_or(0, |json| json.len());
    if length > LONGEST {
        return Err(format!(
            "labels, environment and tag add {length} bytes to each entry, over the limit of {LONGEST}"
        ));
    }
    Ok(chosen)
}

fn choose<'a>(
    chosen: &mut Attributes,
    all: impl Iterator<Item = (&'a str, &'a str)>,
    names: Option<&String>,
    expression: Option<Regex>,
) {
    let named = |name: &str| names.is_some_and(|names| names.split(',').any(|wanted| wanted == name));
    let matches = |name: &str| expression.as_ref().is_some_and(|regex| regex.is_match(name));
    for (name, value) in all {
        if named(name) || matches(name) {
            chosen.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn tag(template: &str, subject: &Subject<'_>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, action)) = rest.split_once("{{") {
        let (field, after) = action
            .split_once("}}")
            .ok_or_else(|| format!("template: log-tag: unclosed action in {template:?}"))?;
        text.push_str(before);
        text.push_str(match field.trim() {
            ".ID" => short(subject.id),
            ".FullID" => subject.id,
            ".Name" => subject.name,
            ".ImageID" => short(subject.image_id.trim_start_matches("sha256:")),
            ".ImageFullID" => subject.image_id,
            ".ImageName" => subject.image_name,
            ".DaemonName" => "docker",
            other => {
                return Err(format!(
                    "template: log-tag: {{{{{other}}}}} cannot be used: a tag has .ID, .FullID, .Name, .ImageID, \
                     .ImageFullID, .ImageName and .DaemonName"
                ));
            }
        });
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn chosen(options: &[(&str, &str)]) -> Vec<(String, String)> {
        let labels = map(&[("app", "web"), ("com.a", "1"), ("com.b", "2")]);
        let env = ["PATH=/bin".to_owned(), "TIER=x=y".to_owned(), "BARE".to_owned()];
        let subject = Subject {
            id: "0123456789abcdef",
            name: "boat",
            image_id: "sha256:fedcba9876543210",
            image_name: "alpine:3",
            labels: Some(&labels),
            env: &env,
        };
        attributes(&map(options), &subject).unwrap().into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn labels_and_variables_are_chosen_by_name_or_by_expression() {
        assert_eq!(
            chosen(&[
                ("labels", "app,gone"),
                ("labels-regex", "^com\\.b"),
                ("env", "TIER,BARE")
            ]),
            [pair("TIER", "x=y"), pair("app", "web"), pair("com.b", "2")]
        );
        assert_eq!(chosen(&[("env-regex", "^PA")]), [pair("PATH", "/bin")]);
        assert!(chosen(&[("labels", "")]).is_empty());
    }

    #[test]
    fn a_tag_names_the_container_and_its_image() {
        assert_eq!(
            chosen(&[("tag", "{{.Name}}/{{ .ID }}@{{.ImageName}} {{.ImageID}}")]),
            [pair("tag", "boat/0123456789ab@alpine:3 fedcba987654")]
        );
    }

    #[test]
    fn a_tag_or_expression_that_cannot_be_read_is_refused() {
        assert!(
            check(&map(&[("tag", "{{.Name")]))
                .unwrap_err()
                .contains("unclosed")
        );
        assert!(
            check(&map(&[("tag", "{{.Secret}}")]))
                .unwrap_err()
                .contains("{{.Secret}}")
        );
        assert!(check(&map(&[("env-regex", "(")])).is_err());
    }

    #[test]
    fn attributes_that_no_entry_could_hold_are_refused() {
        let labels = map(&[("big", &"x".repeat(LONGEST))]);
        let subject = Subject {
            labels: Some(&labels),
            ..Subject::default()
        };
        assert!(attributes(&map(&[("labels", "big")]), &subject).is_err());
    }
}
