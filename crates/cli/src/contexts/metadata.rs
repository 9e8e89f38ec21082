//! `meta.json`: a context's name, its description and its endpoints. What other programs keep in it stays as it is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ContextError, DOCKER, Result};

/// A context.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) endpoints: Map<String, Value>,
}

/// The same as it is read: Go takes names of fields in either case, and null for nothing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Loose {
    #[serde(default, alias = "name")]
    name: Option<String>,
    #[serde(default, alias = "metadata")]
    metadata: Option<Map<String, Value>>,
    #[serde(default, alias = "endpoints")]
    endpoints: Option<Map<String, Value>>,
}

/// The endpoint of a Docker engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    #[serde(
        rename = "Host",
        alias = "host",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) host: String,
    #[serde(rename = "SkipTLSVerify", alias = "skipTLSVerify", default)]
    pub(crate) skip_tls_verify: bool,
}

impl Metadata {
    pub(crate) fn new(name: &str, description: &str, endpoint: &Endpoint) -> Result<Self> {
        let mut context = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        context.describe(description);
        context.set_endpoint(endpoint)?;
        Ok(context)
    }

    /// What is wrong is told by itself, without the file's name.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let loose: Loose = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Ok(Self {
            name: loose.name.unwrap_or_default(),
            metadata: loose.metadata.unwrap_or_default(),
            endpoints: loose.endpoints.unwrap_or_default(),
        })
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| ContextError::Archive(error.to_string()))
    }

    pub(crate) fn description(&self) -> &str {
        let description = self.metadata.get("Description").and_then(Value::as_str);
        description.unwrap_or_default()
    }

    /// Gives it a description, unless that is empty.
    pub(crate) fn describe(&mut self, description: &str) {
        if !description.is_empty() {
            self.metadata.insert("Description".to_owned(), description.into());
        }
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let endpoint = self.endpoints.get(DOCKER).ok_or(ContextError::NoEndpoint)?;
        Endpoint::deserialize(endpoint).map_err(|_| ContextError::NoEndpoint)
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: &Endpoint) -> Result<()> {
        let value =
            serde_json::to_value(endpoint).map_err(|error| ContextError::Archive(error.to_string()))?;
        self.endpoints.insert(DOCKER.to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As docker 28.2 writes it.
    const FAR: &str = r#"{"Name":"far","Metadata":{"Description":"a far one"},"Endpoints":{"docker":{"Host":"ssh://me@far","SkipTLSVerify":false}}}"#;

    #[test]
    fn what_docker_wrote_is_written_the_same() {
        let context = Metadata::parse(FAR.as_bytes()).unwrap();
        assert_eq!(context.description(), "a far one");
        assert_eq!(context.endpoint().unwrap().host, "ssh://me@far");
        assert_eq!(context.to_json().unwrap(), FAR.as_bytes());
    }

    #[test]
    fn what_others_keep_in_a_context_stays() {
        let text = r#"{"Name":"x","Metadata":{"Other":{"a":[1]}},"Endpoints":{"kubernetes":{"b":2}}}"#;
        let mut context = Metadata::parse(text.as_bytes()).unwrap();
        context.describe("mine");
        let written = String::from_utf8(context.to_json().unwrap()).unwrap();
        assert!(
            written.contains(r#""Other":{"a":[1]}"#) && written.contains(r#""kubernetes":{"b":2}"#),
            "{written}"
        );
    }

    #[test]
    fn names_of_fields_in_small_letters_and_nulls_are_taken() {
        let context = Metadata::parse(br#"{"name":"x","metadata":null,"endpoints":null}"#).unwrap();
        assert_eq!(context.name, "x");
        assert!(matches!(context.endpoint(), Err(ContextError::NoEndpoint)));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_told_from_a_context(text in r#"[\[\]{}":,a-zA-Z0-9 ]{0,80}"#) {
            if let Ok(context) = Metadata::parse(text.as_bytes()) {
                let _ = context.endpoint();
                prop_assert!(Metadata::parse(&context.to_json().unwrap()).is_ok());
            }
        }
    }
}
