//! `context` (docker/cli `cli/command/context`): names for engines, shared with `docker`, and a choice among them that
//! is sampan's alone.

mod archive;
mod change;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::arguments::{ContextCommand, EngineFlags};
use crate::commands::inspect;
use crate::contexts::{ContextError, DEFAULT, Endpoint, Files, Metadata, Store, check_name, choice, natural};
use crate::failure::{Failure, Result};
use crate::format::{CONTEXT_HEADER, DEFAULT_CONTEXTS, ListedContext, Listing, context_row};
use crate::host::{Choice, Host, overriding_variable};
use crate::output::{line, print, tell};
use crate::settings;

/// What Docker calls the default context, which is whatever the environment names.
const OF_ENVIRONMENT: &str = "Current DOCKER_HOST based configuration";
const OF_SAMPAN: &str = "sampan's own service";

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        Self::new(error.to_string())
    }
}

/// `sampan context`.
pub(crate) fn run(flags: &EngineFlags, command: ContextCommand) -> Result<()> {
    let contexts = Contexts {
        store: Store::open()?,
        choice: Choice::made(flags)?,
    };
    match command {
        ContextCommand::Create(arguments) => change::create(&contexts, &arguments),
        ContextCommand::Export { context, file } => archive::export(&contexts, &context, file.as_deref()),
        ContextCommand::Import { context, file } => archive::import(&contexts, &context, &file),
        ContextCommand::Inspect {
            format,
            contexts: names,
        } => contexts.inspect(format.as_deref(), names),
        ContextCommand::Ls { format, quiet } => contexts.list(format.as_deref(), quiet),
        ContextCommand::Rm {
            force,
            contexts: names,
        } => change::remove(&contexts, &names, force),
        ContextCommand::Show => line(contexts.choice.name()),
        ContextCommand::Update(arguments) => change::update(&contexts, &arguments),
        ContextCommand::Use { context } => contexts.choose(&context),
    }
}

/// Docker's contexts, and which of them is the current one.
struct Contexts {
    store: Store,
    choice: Choice,
}

impl Contexts {
    /// The context of this name, the default one too.
    fn get(&self, name: &str) -> Result<Metadata> {
        if name != DEFAULT {
            return Ok(self.store.get(name)?);
        }
        let endpoint = Endpoint {
            host: match &self.choice {
                Choice::Address(address) => address.clone(),
                Choice::Context(_) | Choice::Own => Host::own()?.transport.address(),
            },
            skip_tls_verify: false,
        };
        Ok(Metadata::new(DEFAULT, "", &endpoint)?)
    }

    fn files(&self, name: &str) -> Result<Files> {
        if name == DEFAULT {
            return Ok(Files::new());
        }
        Ok(self.store.files(name)?)
    }

    /// A name for a context that is yet to be.
    fn check_new(&self, name: &str) -> Result<()> {
        check_name(name)?;
        match self.store.get(name) {
            Err(ContextError::NotFound { .. }) => Ok(()),
            Err(error) => Err(Failure::new(format!(
                "error while getting existing contexts: {error}"
            ))),
            Ok(_) => Err(ContextError::Exists(name.to_owned()).into()),
        }
    }

    fn list(&self, format: Option<&str>, quiet: bool) -> Result<()> {
        let format = if quiet { Some("{{.Name}}") } else { format };
        let listing = Listing::new(format, DEFAULT_CONTEXTS)?;
        let current = self.choice.name();
        let mut stored = self.store.list()?;
        stored.retain(|context| context.name != DEFAULT);
        let mut listed: Vec<ListedContext> = stored.iter().map(shown).collect();
        listed.push(ListedContext {
            description: match self.choice {
                Choice::Address(_) => OF_ENVIRONMENT.to_owned(),
                Choice::Context(_) | Choice::Own => OF_SAMPAN.to_owned(),
            },
            ..shown(&self.get(DEFAULT)?)
        });
        for context in &mut listed {
            context.current = context.name == current;
        }
        if !listed.iter().any(|context| context.current) {
            listed.push(ListedContext {
                name: current.to_owned(),
                current: true,
                error: self
                    .store
                    .get(current)
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default(),
                ..ListedContext::default()
            });
        }
        listed.sort_by(|first, second| natural(&first.name, &second.name));
        print(&listing.render(CONTEXT_HEADER, listed.iter().map(context_row))?)?;
        if let Some(variable) = overriding_variable() {
            tell(&format!(
                "Warning: {variable} environment variable overrides the active context. To use a context, either set \
                 the global --context flag, or unset {variable} environment variable."
            ));
        }
        Ok(())
    }

    fn choose(&self, name: &str) -> Result<()> {
        let home = settings::home()?;
        if name == DEFAULT {
            choice::write(&home, None)?;
        } else {
            check_name(name)?;
            self.store.get(name)?;
            choice::write(&home, Some(name))?;
        }
        line(name)?;
        tell(&format!("Current context is now \"{name}\""));
        if let Some(variable) = overriding_variable().filter(|_| name != DEFAULT) {
            tell(&format!(
                "Warning: {variable} environment variable overrides the active context. To use \"{name}\", either set \
                 the global --context flag, or unset {variable} environment variable."
            ));
        }
        Ok(())
    }

    fn inspect(&self, format: Option<&str>, mut names: Vec<String>) -> Result<()> {
        if names.is_empty() {
            names.push(self.choice.name().to_owned());
        }
        let as_json = format == Some("json");
        let template = if as_json { None } else { inspect::template(format)? };
        let mut found = Vec::new();
        let mut failed = false;
        for name in &names {
            match (self.inspected(name), &template) {
                (Ok(context), Some(template)) => {
                    let value =
                        serde_json::to_value(&context).map_err(|error| Failure::new(error.to_string()))?;
                    line(&inspect::rendered(template, &value)?)?;
                }
                (Ok(context), None) => found.push(context),
                (Err(failure), _) => {
                    failed = true;
                    tell(&failure.message);
                }
            }
        }
        if as_json {
            line(&serde_json::to_string(&found).map_err(|error| Failure::new(error.to_string()))?)?;
        } else if found.is_empty() && template.is_none() {
            line("[]")?;
        } else if template.is_none() {
            print(&inspect::indented(&found)?)?;
        }
        if failed {
            return Err(Failure {
                message: String::new(),
                code: 1,
            });
        }
        Ok(())
    }

    fn inspected(&self, name: &str) -> Result<Inspected> {
        let Metadata {
            name,
            metadata,
            endpoints,
        } = self.get(name)?;
        let tls_material = self.files(&name)?.into_iter();
        let tls_material = tls_material
            .map(|(endpoint, files)| (endpoint, files.into_keys().collect()))
            .collect();
        let storage = if name == DEFAULT {
            Storage {
                metadata_path: "<IN MEMORY>".to_owned(),
                tls_path: "<IN MEMORY>".to_owned(),
            }
        } else {
            Storage {
                metadata_path: self.store.metadata_folder(&name).display().to_string(),
                tls_path: self.store.tls_folder(&name).display().to_string(),
            }
        };
        Ok(Inspected {
            name,
            metadata,
            endpoints,
            tls_material,
            storage,
        })
    }
}

/// What `inspect` shows, in Docker's order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    name: String,
    metadata: Map<String, Value>,
    endpoints: Map<String, Value>,
    #[serde(rename = "TLSMaterial")]
    tls_material: BTreeMap<String, Vec<String>>,
    storage: Storage,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Storage {
    metadata_path: String,
    #[serde(rename = "TLSPath")]
    tls_path: String,
}

fn shown(context: &Metadata) -> ListedContext {
    let (endpoint, error) = match context.endpoint() {
        Ok(endpoint) => (endpoint.host, String::new()),
        Err(error) => (String::new(), error.to_string()),
    };
    ListedContext {
        name: context.name.clone(),
        description: context.description().to_owned(),
        endpoint,
        error,
        current: false,
    }
}
