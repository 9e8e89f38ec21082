//! Where an unmodified `docker` would go: `DOCKER_HOST`, else the context of `DOCKER_CONTEXT` or `currentContext` in
//! `config.json`, else its own socket.

use engine::Finding;

use crate::contexts::{ContextError, DEFAULT, Store};
use crate::credentials;

/// Where docker goes.
#[derive(Debug, PartialEq, Eq)]
enum Goes {
    /// To an address, for this reason.
    To(String, String),
    /// To a context that cannot be had, with why.
    Lost(String, String),
    Default,
}

pub(super) fn finding(own: &str) -> Finding {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    told(own, &goes(variable, credentials::context_of_docker, Store::open))
}

fn goes(
    variable: impl Fn(&str) -> Option<String>,
    chosen: impl FnOnce() -> Option<String>,
    store: impl FnOnce() -> Result<Store, ContextError>,
) -> Goes {
    if let Some(host) = variable("DOCKER_HOST") {
        return Goes::To(host, "DOCKER_HOST".to_owned());
    }
    let context = variable("DOCKER_CONTEXT").or_else(chosen);
    let Some(name) = context.filter(|name| !name.is_empty() && name != DEFAULT) else {
        return Goes::Default;
    };
    match store().and_then(|store| store.get(&name)?.endpoint()) {
        Ok(endpoint) => Goes::To(endpoint.host, format!("its context {name}")),
        Err(error) => Goes::Lost(name, error.to_string()),
    }
}

/// A docker that goes elsewhere may be meant to: that is no fault.
fn told(own: &str, goes: &Goes) -> Finding {
    const SUBJECT: &str = "docker";
    let way = format!("`export DOCKER_HOST={own}` lets it speak to sampan");
    match goes {
        Goes::To(address, _) if address == own => {
            Finding::ok(SUBJECT, format!("the docker command speaks to sampan at {own}"))
        }
        Goes::To(address, reason) => Finding::ok(
            SUBJECT,
            format!("the docker command speaks to {address}, because of {reason}; {way}"),
        ),
        Goes::Default => Finding::ok(
            SUBJECT,
            format!("the docker command speaks to Docker's own socket; {way}"),
        ),
        Goes::Lost(context, reason) => Finding::warning(
            SUBJECT,
            format!(
                "the docker command does nothing, because its context {context} cannot be had ({reason})"
            ),
            format!("`docker context use default`; or {way}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use engine::Severity;

    use super::*;
    use crate::contexts::{Endpoint, Metadata};

    const OWN: &str = "unix:///home/sampan.sock";

    /// A store with the context `boat`, which is ours.
    fn store(folder: &tempfile::TempDir) -> Store {
        let store = Store::at(folder.path());
        let endpoint = Endpoint {
            host: OWN.to_owned(),
            ..Endpoint::default()
        };
        store
            .put(&Metadata::new("boat", "", &endpoint).unwrap(), None)
            .unwrap();
        store
    }

    fn with<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_variable_wins_over_a_context_and_a_context_over_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let store = || Ok(store(&folder));
        let boat = || Some("boat".to_owned());
        let host = [("DOCKER_HOST", "unix:///d.sock"), ("DOCKER_CONTEXT", "boat")];
        let expected = Goes::To("unix:///d.sock".to_owned(), "DOCKER_HOST".to_owned());
        assert_eq!(goes(with(&host), boat, store), expected);
        let expected = Goes::To(OWN.to_owned(), "its context boat".to_owned());
        assert_eq!(goes(with(&[]), boat, store), expected);
        let other = [("DOCKER_CONTEXT", "default")];
        assert_eq!(goes(with(&other), boat, store), Goes::Default);
        assert_eq!(goes(with(&[]), || None, store), Goes::Default);
    }

    #[test]
    fn a_context_that_is_not_there_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let lost = goes(with(&[]), || Some("ship".to_owned()), || Ok(store(&folder)));
        assert!(matches!(&lost, Goes::Lost(name, _) if name == "ship"), "{lost:?}");
        let finding = told(OWN, &lost);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.finding.contains("context not found"), "{finding:?}");
        assert!(finding.advice.contains("docker context use default"));
    }

    #[test]
    fn a_docker_that_goes_elsewhere_is_told_the_way() {
        let own = told(OWN, &Goes::To(OWN.to_owned(), "DOCKER_HOST".to_owned()));
        assert_eq!(
            own.finding,
            format!("the docker command speaks to sampan at {OWN}")
        );
        let elsewhere = told(OWN, &Goes::Default);
        assert_eq!(elsewhere.severity, Severity::Ok);
        assert!(elsewhere.finding.contains(&format!("export DOCKER_HOST={OWN}")));
    }
}
