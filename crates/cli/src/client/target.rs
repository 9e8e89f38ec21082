//! What a request asks for.

/// A path and its query.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    path: String,
    query: Vec<(String, String)>,
}

impl Target {
    /// `segments` become one path; what is no plain character in them is escaped, slashes of an image's name
    /// are not.
    pub(crate) fn new(segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            for byte in segment.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
                    path.push(char::from(byte));
                } else {
                    path.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        Self {
            path,
            query: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn with_flag(self, name: &str, on: bool) -> Self {
        if on { self.with(name, 1) } else { self }
    }

    pub(super) fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
            .finish();
        format!("{}?{query}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_escapes_what_a_path_cannot_carry() {
        let target = Target::new(&["images", "my registry/a:1", "json"])
            .with("x", "a b&c")
            .with_flag("y", false);
        assert_eq!(target.uri(), "/images/my%20registry/a:1/json?x=a+b%26c");
    }

    #[test]
    fn a_target_without_parameters_has_no_question_mark() {
        assert_eq!(Target::new(&["containers", "json"]).uri(), "/containers/json");
    }
}
