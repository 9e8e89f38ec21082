//! The `filters` query parameter (moby `api/types/filters`): a JSON object of name to values, in the form
//! `{"label":["a=b"]}` or the older `{"label":{"a=b":true}}`. Both are in use.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{EngineError, Result};

/// The most values that all filters of a request may have together.
const MOST_VALUES: usize = 4096;

/// Values by filter name. A name without values filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Map(BTreeMap<String, bool>),
}

impl Filters {
    /// Reads the parameter. An empty text is no filter.
    pub fn parse(json: &str) -> Result<Self> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let parsed: BTreeMap<String, Values> = serde_json::from_str(json)
            .map_err(|error| EngineError::BadRequest(format!("invalid filter: {error}")))?;
        let mut count = 0usize;
        let mut filters = BTreeMap::new();
        for (name, values) in parsed {
            let values: Vec<String> = match values {
                Values::List(values) => values,
                Values::Map(map) => map
                    .into_iter()
                    .filter(|(_, on)| *on)
                    .map(|(value, _)| value)
                    .collect(),
            };
            count = count.saturating_add(values.len());
            if count > MOST_VALUES {
                return Err(EngineError::BadRequest(format!(
                    "more than {MOST_VALUES} filter values"
                )));
            }
            filters.insert(name, values);
        }
        Ok(Self(filters))
    }

    /// Adds one value.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(value.into());
    }

    /// Refuses names beyond `known`.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(EngineError::BadRequest(format!("invalid filter '{name}'"))),
            None => Ok(()),
        }
    }

    /// The values of a filter, empty where it was not given.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the filter was given with at least one value.
    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// Whether the filter is absent or one of its values satisfies `accepts`.
    pub fn any(&self, name: &str, accepts: impl Fn(&str) -> bool) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().any(|value| accepts(value))
    }

    /// Whether every value of a `key` or `key=value` filter is met by the map.
    pub fn labels_match<'a>(&self, name: &str, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.values(name)
            .iter()
            .all(|wanted| match wanted.split_once('=') {
                Some((key, value)) => get(key) == Some(value),
                None => get(wanted).is_some(),
            })
    }

    /// A filter that is a single truth value.
    pub fn truth(&self, name: &str) -> Result<Option<bool>> {
        match self.values(name) {
            [] => Ok(None),
            [value] => match value.as_str() {
                "1" | "true" | "True" | "TRUE" | "t" | "T" => Ok(Some(true)),
                "0" | "false" | "False" | "FALSE" | "f" | "F" => Ok(Some(false)),
                _ => Err(EngineError::BadRequest(format!(
                    "invalid filter '{name}={value}'"
                ))),
            },
            values => Err(EngineError::BadRequest(format!(
                "invalid filter '{name}={values:?}'"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_of_the_parameter_mean_the_same() {
        let list = Filters::parse(r#"{"label":["a=b"],"status":["exited"]}"#).unwrap();
        let map = Filters::parse(r#"{"label":{"a=b":true},"status":{"exited":true,"dead":false}}"#).unwrap();
        assert_eq!(list, map);
    }

    #[test]
    fn an_unknown_filter_is_named() {
        let filters = Filters::parse(r#"{"bad":["x"]}"#).unwrap();
        assert_eq!(
            filters.only(&["label"]).unwrap_err().to_string(),
            "invalid filter 'bad'"
        );
    }

    #[test]
    fn every_label_filter_has_to_match() {
        let filters = Filters::parse(r#"{"label":["a=1","b"]}"#).unwrap();
        let get = |wanted: &str| match wanted {
            "a" => Some("1"),
            "b" => Some(""),
            _ => None,
        };
        assert!(filters.labels_match("label", get));
        assert!(!filters.labels_match("label", |key| (key == "a").then_some("1")));
    }

    #[test]
    fn too_many_values_are_refused() {
        let values: Vec<String> = (0..=MOST_VALUES).map(|number| format!("\"{number}\"")).collect();
        assert!(Filters::parse(&format!("{{\"id\":[{}]}}", values.join(","))).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,200}") {
            let _ = Filters::parse(&text);
        }

        #[test]
        fn what_was_inserted_is_found(name in "[a-z]{1,8}", values in proptest::collection::vec(".{0,8}", 1..8)) {
            let json = serde_json::to_string(&BTreeMap::from([(name.clone(), values.clone())])).unwrap();
            let filters = Filters::parse(&json).unwrap();
            prop_assert_eq!(filters.values(&name), values.as_slice());
            for value in &values {
                prop_assert!(filters.any(&name, |candidate| candidate == value));
            }
        }
    }
}
