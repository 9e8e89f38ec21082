//! Which engine a command talks to. The first of these that says something decides:
//!
//! 1. `-H`/`--host`, an address,
//! 2. `-c`/`--context`, the name of one of Docker's contexts,
//! 3. `SAMPAN_HOST`, `DOCKER_HOST`: addresses,
//! 4. `SAMPAN_CONTEXT`, `DOCKER_CONTEXT`: names,
//! 5. the name that `sampan context use` keeps in the home folder,
//! 6. nothing: this user's own service, whose name is `default`.

use std::env;
use std::fmt::Display;
use std::path::PathBuf;

use crate::arguments::EngineFlags;
use crate::contexts::{ContextError, DEFAULT, Store, choice};
use crate::credentials;
use crate::failure::{Failure, Result};
use crate::transport::{Address, AddressError, Material, TlsOptions, Transport, TransportError};
use crate::{settings, sys};

/// The variables that hold an address, in their order.
const ADDRESSES: [&str; 2] = ["SAMPAN_HOST", "DOCKER_HOST"];
/// The variables that hold a context's name, in their order.
const NAMES: [&str; 2] = ["SAMPAN_CONTEXT", "DOCKER_CONTEXT"];

/// An engine to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The name of its context.
    pub(crate) context: String,
    pub(crate) transport: Transport,
    /// Whether it is this user's own service, which is started where it is not there.
    pub(crate) own: bool,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Address(String),
    Context(String),
    Own,
}

impl Host {
    /// The engine that flags, environment and choice lead to.
    pub(crate) fn resolve(flags: &EngineFlags) -> Result<Self> {
        match Choice::made(flags)? {
            Choice::Own => Self::own(),
            Choice::Address(address) => {
                let address = Address::parse(&address).map_err(|error| refused(&error.into()))?;
                let tls = match address {
                    Address::Tcp(_) => tls(flags, &variable)?,
                    _ => None,
                };
                Self::at(DEFAULT, address, tls.as_ref())
            }
            Choice::Context(name) => Self::of_context(&name),
        }
    }

    /// This user's own service.
    pub(crate) fn own() -> Result<Self> {
        Ok(Self {
            own: true,
            ..Self::of(Transport::Local(sys::socket_path(&settings::home()?)))
        })
    }

    /// An engine without a context.
    pub(crate) fn of(transport: Transport) -> Self {
        Self {
            context: DEFAULT.to_owned(),
            transport,
            own: false,
        }
    }

    fn of_context(name: &str) -> Result<Self> {
        let open = || -> Result<_, ContextError> {
            let store = Store::open()?;
            let endpoint = store.get(name)?.endpoint()?;
            if endpoint.host.is_empty() {
                return Err(ContextError::NoHost(name.to_owned()));
            }
            let material = Material::of(&store.files(name)?);
            Ok((endpoint, material))
        };
        let (endpoint, material) = open().map_err(unresolved)?;
        let address = Address::parse(&endpoint.host).map_err(|error| refused(&error.into()))?;
        let tls = (material.is_some() || endpoint.skip_tls_verify).then(|| TlsOptions {
            material: material.unwrap_or_default(),
            skip_verify: endpoint.skip_tls_verify,
        });
        Self::at(name, address, tls.as_ref())
    }

    fn at(context: &str, address: Address, tls: Option<&TlsOptions>) -> Result<Self> {
        let own = sys::socket_path(&settings::home()?);
        let own = matches!(&address, Address::Local(path) if *path == own);
        Ok(Self {
            context: context.to_owned(),
            transport: Transport::new(address, tls).map_err(|error| refused(&error))?,
            own,
        })
    }

    /// Whether it is an engine of this computer.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.transport, Transport::Local(_))
    }
}

impl Choice {
    pub(crate) fn made(flags: &EngineFlags) -> Result<Self> {
        Self::of(flags, &variable, || {
            choice::read(&settings::home()?).map_err(|error| Failure::new(error.to_string()))
        })
    }

    fn of(
        flags: &EngineFlags,
        variable: &dyn Fn(&str) -> Option<String>,
        chosen: impl FnOnce() -> Result<Option<String>>,
    ) -> Result<Self> {
        let given = |flag: &Option<String>| flag.clone().filter(|text| !text.is_empty());
        let name = |name: String| {
            if name == DEFAULT {
                Self::Own
            } else {
                Self::Context(name)
            }
        };
        match (given(&flags.host), given(&flags.context)) {
            (Some(_), Some(_)) => Err(Failure::new(
                "conflicting options: cannot specify both --host and --context",
            )),
            (Some(address), None) => Ok(Self::Address(address)),
            (None, Some(context)) => Ok(name(context)),
            (None, None) => {
                if let Some(address) = ADDRESSES.into_iter().find_map(variable) {
                    return Ok(Self::Address(address));
                }
                let context = match NAMES.into_iter().find_map(variable) {
                    Some(context) => Some(context),
                    None => chosen()?,
                };
                Ok(context.map_or(Self::Own, name))
            }
        }
    }

    /// The name under which it is listed.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Context(name) => name,
            Self::Address(_) | Self::Own => DEFAULT,
        }
    }
}

/// The variable that decides before any context, if it is set.
pub(crate) fn overriding_variable() -> Option<&'static str> {
    ADDRESSES.into_iter().find(|name| variable(name).is_some())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Docker's flags and variables of TLS, which are for an address alone: a context has its own.
fn tls(flags: &EngineFlags, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<TlsOptions>> {
    let verify = flags
        .tlsverify
        .unwrap_or_else(|| variable("DOCKER_TLS_VERIFY").is_some());
    let asked = flags.tls.unwrap_or_else(|| variable("DOCKER_TLS").is_some());
    if !(asked || verify || flags.tlsverify.is_some()) {
        return Ok(None);
    }
    let folder = variable("DOCKER_CERT_PATH")
        .map(PathBuf::from)
        .or_else(credentials::folder);
    let folder = folder.ok_or_else(|| unresolved(ContextError::NoFolder))?;
    // The authority has to be there. Who the client is need not be said, unless it was.
    let ca = flags.tlscacert.clone().unwrap_or_else(|| folder.join("ca.pem"));
    let own = |flag: &Option<PathBuf>, file: &str| match flag {
        Some(path) => path.clone(),
        None => Some(folder.join(file))
            .filter(|path| path.exists())
            .unwrap_or_default(),
    };
    let material = Material::read(
        &ca,
        &own(&flags.tlscert, "cert.pem"),
        &own(&flags.tlskey, "key.pem"),
    );
    Ok(Some(TlsOptions {
        material: material.map_err(unresolved)?,
        skip_verify: !verify,
    }))
}

fn unresolved(error: impl Display) -> Failure {
    Failure::new(format!(
        "Failed to initialize: unable to resolve docker endpoint: {error}"
    ))
}

fn refused(error: &TransportError) -> Failure {
    match error {
        TransportError::Address(AddressError::Ssh(_) | AddressError::Url { .. }) | TransportError::Tls(_) => {
            Failure::new(format!("Failed to initialize: {error}"))
        }
        _ => unresolved(error),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn flags(host: &str, context: &str) -> EngineFlags {
        EngineFlags {
            host: Some(host.to_owned()),
            context: Some(context.to_owned()),
            ..EngineFlags::default()
        }
    }

    fn address(text: &str) -> Choice {
        Choice::Address(text.to_owned())
    }

    fn context(text: &str) -> Choice {
        Choice::Context(text.to_owned())
    }

    #[rstest]
    #[case("tcp://flag", "", &["SAMPAN_HOST", "DOCKER_HOST", "SAMPAN_CONTEXT", "DOCKER_CONTEXT"], Some("file"), address("tcp://flag"))]
    #[case("", "flag", &["SAMPAN_HOST", "DOCKER_HOST", "SAMPAN_CONTEXT", "DOCKER_CONTEXT"], Some("file"), context("flag"))]
    #[case("", "", &["SAMPAN_HOST", "DOCKER_HOST", "SAMPAN_CONTEXT", "DOCKER_CONTEXT"], Some("file"), address("SAMPAN_HOST"))]
    #[case("", "", &["DOCKER_HOST", "SAMPAN_CONTEXT", "DOCKER_CONTEXT"], Some("file"), address("DOCKER_HOST"))]
    #[case("", "", &["SAMPAN_CONTEXT", "DOCKER_CONTEXT"], Some("file"), context("SAMPAN_CONTEXT"))]
    #[case("", "", &["DOCKER_CONTEXT"], Some("file"), context("DOCKER_CONTEXT"))]
    #[case("", "", &[], Some("file"), context("file"))]
    #[case("", "", &[], None, Choice::Own)]
    #[case("", "default", &["DOCKER_HOST"], Some("file"), Choice::Own)]
    fn flags_decide_before_the_environment_and_that_before_the_choice(
        #[case] host: &str,
        #[case] name: &str,
        #[case] variables: &[&str],
        #[case] chosen: Option<&str>,
        #[case] expected: Choice,
    ) {
        // Each variable's value is its name.
        let variable = |name: &str| variables.contains(&name).then(|| name.to_owned());
        let made = Choice::of(&flags(host, name), &variable, || Ok(chosen.map(str::to_owned)));
        assert_eq!(made, Ok(expected));
    }

    #[test]
    fn an_address_and_a_context_at_once_are_refused_in_dockers_words() {
        let failure = Choice::of(&flags("tcp://x", "y"), &|_| None, || Ok(None)).unwrap_err();
        assert_eq!(
            failure.message,
            "conflicting options: cannot specify both --host and --context"
        );
    }

    #[test]
    fn tls_is_on_where_a_flag_or_a_variable_says_so_and_checks_the_engine_where_it_is_to() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "authority").unwrap();
        std::fs::write(folder.path().join("key.pem"), "key").unwrap();
        let path = folder.path().to_str().unwrap();
        let asked = |tls: Option<bool>, tlsverify: Option<bool>, set: &'static str| {
            let flags = EngineFlags {
                tls,
                tlsverify,
                ..EngineFlags::default()
            };
            let variable = |name: &str| match name {
                "DOCKER_CERT_PATH" => Some(path.to_owned()),
                name => (name == set).then(|| "1".to_owned()),
            };
            let options = super::tls(&flags, &variable).unwrap();
            options.map(|options| options.skip_verify)
        };
        assert_eq!(asked(None, None, ""), None);
        assert_eq!(asked(Some(true), None, ""), Some(true));
        assert_eq!(asked(None, None, "DOCKER_TLS"), Some(true));
        assert_eq!(asked(Some(false), None, "DOCKER_TLS"), None);
        assert_eq!(asked(None, None, "DOCKER_TLS_VERIFY"), Some(false));
        assert_eq!(asked(None, Some(true), ""), Some(false));
        // That it was given at all turns TLS on.
        assert_eq!(asked(None, Some(false), "DOCKER_TLS_VERIFY"), Some(true));
    }

    #[test]
    fn an_authority_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let flags = EngineFlags {
            tls: Some(true),
            ..EngineFlags::default()
        };
        let variable =
            |name: &str| (name == "DOCKER_CERT_PATH").then(|| folder.path().to_str().unwrap().to_owned());
        assert_eq!(
            super::tls(&flags, &variable).unwrap_err().message,
            format!(
                "Failed to initialize: unable to resolve docker endpoint: open {}: no such file or directory",
                folder.path().join("ca.pem").display()
            )
        );
    }
}
