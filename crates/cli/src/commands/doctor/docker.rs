//! Where an unmodified `docker` would go: `DOCKER_HOST`, else the context of `DOCKER_CONTEXT` or `currentContext` in
//! `config.json`, whose endpoint lies in `contexts/meta/*/meta.json` (docker/cli `cli/context/store`), else its own
//! socket.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::Finding;
use serde_json::Value;

/// The longest of docker's files that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// Contexts that are looked at.
const MOST_CONTEXTS: usize = 256;

/// Where docker goes.
#[derive(Debug, PartialEq, Eq)]
enum Goes {
    /// To an address, for this reason.
    To(String, String),
    /// To a context whose endpoint is not found.
    Lost(String),
    Default,
}

pub(super) fn finding(own: &str) -> Finding {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let folder = variable("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    told(own, &goes(variable, folder.as_deref()))
}

fn goes(variable: impl Fn(&str) -> Option<String>, folder: Option<&Path>) -> Goes {
    if let Some(host) = variable("DOCKER_HOST") {
        return Goes::To(host, "DOCKER_HOST".to_owned());
    }
    let chosen = variable("DOCKER_CONTEXT").or_else(|| {
        let config = read(&folder?.join("config.json"))?;
        Some(config.get("currentContext")?.as_str()?.to_owned())
    });
    match chosen.filter(|name| !name.is_empty() && name != "default") {
        None => Goes::Default,
        Some(name) => match folder.and_then(|folder| endpoint(folder, &name)) {
            Some(address) => Goes::To(address, format!("its context {name}")),
            None => Goes::Lost(name),
        },
    }
}

fn endpoint(folder: &Path, name: &str) -> Option<String> {
    let folders = std::fs::read_dir(folder.join("contexts/meta")).ok()?;
    let mut contexts = folders
        .flatten()
        .take(MOST_CONTEXTS)
        .filter_map(|entry| read(&entry.path().join("meta.json")));
    let context = contexts.find(|context| context.get("Name").and_then(Value::as_str) == Some(name))?;
    let host = context.pointer("/Endpoints/docker/Host")?.as_str()?;
    Some(host.to_owned())
}

fn read(path: &Path) -> Option<Value> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .ok()?;
    serde_json::from_slice(&bytes).ok()
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
        Goes::Lost(context) => Finding::warning(
            SUBJECT,
            format!("the docker command's context {context} is not there, so it does nothing"),
            format!("`docker context use default`; or {way}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use engine::Severity;

    use super::*;

    const OWN: &str = "unix:///home/sampan.sock";

    fn folder(current: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({ "auths": {}, "currentContext": current });
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let meta = folder.path().join("contexts/meta/00ff");
        std::fs::create_dir_all(&meta).unwrap();
        let context = serde_json::json!({ "Name": "boat", "Endpoints": { "docker": { "Host": OWN } } });
        std::fs::write(meta.join("meta.json"), context.to_string()).unwrap();
        folder
    }

    fn with<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_variable_wins_over_a_context_and_a_context_over_the_default() {
        let boat = folder("boat");
        let host = [("DOCKER_HOST", "unix:///d.sock"), ("DOCKER_CONTEXT", "boat")];
        let expected = Goes::To("unix:///d.sock".to_owned(), "DOCKER_HOST".to_owned());
        assert_eq!(goes(with(&host), Some(boat.path())), expected);
        let expected = Goes::To(OWN.to_owned(), "its context boat".to_owned());
        assert_eq!(goes(with(&[]), Some(boat.path())), expected);
        let other = [("DOCKER_CONTEXT", "default")];
        assert_eq!(goes(with(&other), Some(boat.path())), Goes::Default);
        assert_eq!(goes(with(&[]), None), Goes::Default);
    }

    #[test]
    fn a_context_that_is_not_there_is_a_warning() {
        let ship = folder("ship");
        let lost = goes(with(&[]), Some(ship.path()));
        assert_eq!(lost, Goes::Lost("ship".to_owned()));
        let finding = told(OWN, &lost);
        assert_eq!(finding.severity, Severity::Warning);
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
