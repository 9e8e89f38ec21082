//! Flags of `volume`.

use clap::{Args, Subcommand};

use super::PruneArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Create a volume
    #[command(override_usage = "sampan volume create [OPTIONS] [VOLUME]")]
    Create(VolumeCreateArguments),
    /// Display detailed information on one or more volumes
    #[command(override_usage = "sampan volume inspect [OPTIONS] VOLUME [VOLUME...]")]
    Inspect(ObjectArguments),
    /// List volumes
    #[command(override_usage = "sampan volume ls [OPTIONS]", alias = "list")]
    Ls(ObjectListArguments),
    /// Remove unused local volumes
    #[command(override_usage = "sampan volume prune [OPTIONS]")]
    Prune(PruneArguments),
    /// Remove one or more volumes
    #[command(
        override_usage = "sampan volume rm [OPTIONS] VOLUME [VOLUME...]",
        alias = "remove"
    )]
    Rm(ObjectRemoveArguments),
}

#[derive(Debug, Args)]
pub(crate) struct VolumeCreateArguments {
    /// Specify volume driver name
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    pub(crate) driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "OPTION")]
    pub(crate) opt: Vec<String>,
    pub(crate) volume: Option<String>,
}

/// Names of objects to be shown.
#[derive(Debug, Args)]
pub(crate) struct ObjectArguments {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// How a list of objects is shown.
#[derive(Debug, Args)]
pub(crate) struct ObjectListArguments {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only display names or IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl ObjectListArguments {
    /// The template that is asked for: by itself, or `quiet` by the flag of that name.
    pub(crate) fn template<'a>(&'a self, quiet: &'a str) -> Option<&'a str> {
        self.format.as_deref().or(self.quiet.then_some(quiet))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ObjectRemoveArguments {
    /// Do not error if one of them does not exist
    #[arg(short, long)]
    pub(crate) force: bool,
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}
