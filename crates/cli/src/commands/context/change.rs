//! `context create`, `context update` and `context rm`.

use std::collections::BTreeMap;
use std::path::Path;

use super::Contexts;
use crate::arguments::{ContextCreateArguments, ContextUpdateArguments};
use crate::contexts::{ContextError, DEFAULT, DOCKER, Endpoint, Files, Metadata, check_name, choice};
use crate::credentials;
use crate::failure::{Failure, NO_CONTAINER, Result};
use crate::output::{line, tell};
use crate::settings;
use crate::transport::{Address, Material, TlsOptions, Transport, TransportError};

/// The keys of an endpoint.
const KEYS: [&str; 6] = ["ca", "cert", "from", "host", "key", "skip-tls-verify"];

/// `sampan context create`: from an address, from another context, or from the current one.
pub(super) fn create(contexts: &Contexts, arguments: &ContextCreateArguments) -> Result<()> {
    let name = &arguments.context;
    contexts.check_new(name)?;
    let (context, files) = match &arguments.from {
        Some(_) if !arguments.docker.is_empty() => {
            return Err(Failure::new("cannot use --docker flag when --from is set"));
        }
        None if !arguments.docker.is_empty() => {
            let (endpoint, files) = endpoint(contexts, &pairs(&arguments.docker, "create")?)?;
            (Metadata::new(name, &arguments.description, &endpoint)?, files)
        }
        from => {
            let from = from.as_deref().unwrap_or(contexts.choice.name());
            let mut context = contexts.get(from)?;
            context.name.clone_from(name);
            context.describe(&arguments.description);
            (context, contexts.files(from)?)
        }
    };
    contexts.store.put(&context, Some(&files))?;
    line(name)?;
    tell(&format!("Successfully created context \"{name}\""));
    Ok(())
}

/// `sampan context update`.
pub(super) fn update(contexts: &Contexts, arguments: &ContextUpdateArguments) -> Result<()> {
    let name = &arguments.context;
    check_name(name)?;
    let mut context = contexts.store.get(name)?;
    context.describe(&arguments.description);
    let files = if arguments.docker.is_empty() {
        None
    } else {
        let (endpoint, of_docker) = endpoint(contexts, &pairs(&arguments.docker, "update")?)?;
        context.set_endpoint(&endpoint)?;
        let mut files = contexts.files(name)?;
        files.remove(DOCKER);
        files.extend(of_docker);
        Some(files)
    };
    contexts.store.put(&context, files.as_ref())?;
    line(name)?;
    tell(&format!("Successfully updated context \"{name}\""));
    Ok(())
}

/// `sampan context rm`. One that `docker` was told to use is in use too.
pub(super) fn remove(contexts: &Contexts, names: &[String], force: bool) -> Result<()> {
    let home = settings::home()?;
    let chosen = choice::read(&home).unwrap_or_default();
    let of_docker = credentials::context_of_docker();
    let mut errors = Vec::new();
    for name in names {
        let removed = (|| {
            if name == DEFAULT {
                return Err(Failure::new("context \"default\" cannot be removed"));
            }
            let is_chosen = chosen.as_ref() == Some(name);
            if !force && (is_chosen || contexts.choice.name() == name || of_docker.as_ref() == Some(name)) {
                return Err(Failure::new(format!(
                    "context \"{name}\" is in use, set -f flag to force remove"
                )));
            }
            if !force && !contexts.store.has(name) {
                return Err(ContextError::DoesNotExist(name.clone()).into());
            }
            if is_chosen {
                choice::write(&home, None)?;
            }
            contexts.store.remove(name)?;
            line(name)
        })();
        errors.extend(removed.err().map(|failure: Failure| failure.message));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(errors.join("\n")))
    }
}

/// The pairs of `--docker`, as Go's flags read a map: commas are between pairs, except in one that is alone.
fn pairs(texts: &[String], command: &str) -> Result<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let parts: Vec<&str> = if text.matches('=').count() == 1 {
            vec![text]
        } else {
            text.split(',').collect()
        };
        for part in parts {
            let Some((key, value)) = part.split_once('=') else {
                return Err(Failure {
                    message: format!(
                        "invalid argument \"{text}\" for \"--docker\" flag: {part} must be formatted as key=value\n\n\
                         Usage:  sampan context {command} [OPTIONS] CONTEXT\n\n\
                         Run 'sampan context {command} --help' for more information"
                    ),
                    code: NO_CONTAINER,
                });
            };
            pairs.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(pairs)
}

/// The endpoint that the pairs describe, and its files.
fn endpoint(contexts: &Contexts, pairs: &BTreeMap<String, String>) -> Result<(Endpoint, Files)> {
    described(contexts, pairs).map_err(|failure| {
        Failure::new(format!(
            "unable to create docker endpoint config: {}",
            failure.message
        ))
    })
}

fn described(contexts: &Contexts, pairs: &BTreeMap<String, String>) -> Result<(Endpoint, Files)> {
    let unknown: Vec<String> = pairs
        .keys()
        .filter(|key| !KEYS.contains(&key.as_str()))
        .map(|key| format!("unrecognized config key: {key}"))
        .collect();
    if !unknown.is_empty() {
        return Err(Failure::new(unknown.join("\n")));
    }
    if let Some(from) = pairs.get("from") {
        let endpoint = contexts.get(from)?.endpoint()?;
        let mut files = contexts.files(from)?;
        files.retain(|endpoint, _| endpoint == DOCKER);
        return Ok((endpoint, files));
    }
    let text = |key: &str| pairs.get(key).map(String::as_str).unwrap_or_default();
    let material = Material::read(
        Path::new(text("ca")),
        Path::new(text("cert")),
        Path::new(text("key")),
    )?;
    let files = material.files();
    let endpoint = Endpoint {
        host: text("host").to_owned(),
        skip_tls_verify: pairs
            .get("skip-tls-verify")
            .map_or(Ok(false), |text| truth(text))?,
    };
    let options = (!files.is_empty() || endpoint.skip_tls_verify).then_some(TlsOptions {
        material,
        skip_verify: endpoint.skip_tls_verify,
    });
    if !endpoint.host.is_empty() {
        check(&endpoint.host, options.as_ref())
            .map_err(|error| Failure::new(format!("invalid docker endpoint options: {error}")))?;
    }
    Ok((endpoint, files))
}

/// Whether there is a way to an engine, from here or from another system.
fn check(host: &str, options: Option<&TlsOptions>) -> Result<(), TransportError> {
    match Transport::new(Address::parse(host)?, options) {
        Ok(_) | Err(TransportError::NotHere(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Go's words for true and false.
fn truth(text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Failure::new(format!(
            "skip-tls-verify: parsing \"{text}\": invalid syntax"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_is_alone_keeps_its_commas() {
        let read = |text: &str| {
            pairs(&[text.to_owned()], "create")
                .unwrap()
                .into_iter()
                .collect::<Vec<_>>()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read("host=tcp://a,b"), [pair("host", "tcp://a,b")]);
        assert_eq!(
            read("host=tcp://a,ca=b"),
            [pair("ca", "b"), pair("host", "tcp://a")]
        );
    }

    #[test]
    fn what_is_no_pair_is_refused_in_dockers_words() {
        let failure = pairs(&["host".to_owned()], "create").unwrap_err();
        assert_eq!(
            failure.message,
            "invalid argument \"host\" for \"--docker\" flag: host must be formatted as key=value\n\n\
             Usage:  sampan context create [OPTIONS] CONTEXT\n\n\
             Run 'sampan context create --help' for more information"
        );
        assert_eq!(failure.code, 125);
    }
}
