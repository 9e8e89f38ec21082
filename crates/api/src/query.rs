//! A request's query string, read as Docker reads it.

/// More parameters than any client sends.
const MAX_PARAMETERS: usize = 512;

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// A parameter that does not say what it must.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadParameter {
    #[error("strconv.Atoi: parsing {value:?}: invalid syntax (parameter {name})")]
    Number { name: String, value: String },
}

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().take(MAX_PARAMETERS).collect())
    }

    /// The first value of a parameter that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self
            .0
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter that can be repeated.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let wanted = self
            .0
            .iter()
            .filter(|(key, value)| key == name && !value.is_empty());
        wanted.map(|(_, value)| value.clone()).collect()
    }

    /// A switch: everything but nothing, `0`, `no`, `false` and `none` is on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// A switch with a default for the case that it is not given at all.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        let given = self.0.iter().find(|(key, _)| key == name);
        given.map_or(default, |(_, value)| {
            !matches!(
                value.trim().to_ascii_lowercase().as_str(),
                "" | "0" | "no" | "false" | "none"
            )
        })
    }

    /// A whole number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, BadParameter> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| BadParameter::Number {
            name: name.to_owned(),
            value: value.chars().take(64).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_docker_reads_them() {
        let query = Query::parse(Some("a=1&b=0&c=&d=False&e=yes&f=none"));
        let on: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
            .into_iter()
            .filter(|n| query.flag(n))
            .collect();
        assert_eq!(on, ["a", "e"]);
        assert!(query.flag_or("g", true) && !query.flag_or("b", true));
    }

    #[test]
    fn a_number_that_is_none_is_refused_by_name() {
        let error = Query::parse(Some("limit=ten"))
            .number::<i64>("limit")
            .unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
    }

    #[test]
    fn a_parameter_can_be_repeated() {
        assert_eq!(
            Query::parse(Some("names=a%3Ab&names=c")).all("names"),
            ["a:b", "c"]
        );
    }
}
