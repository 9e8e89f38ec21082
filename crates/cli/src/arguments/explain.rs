//! `explain`.

use clap::{Args, Subcommand, ValueEnum};

use super::{PullArguments, RunArguments};

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// Language to tell it in; that of the environment by default
    #[arg(long, value_enum)]
    pub(crate) lang: Option<Language>,
    /// Print the steps as JSON, one a line, in place of the page
    #[arg(long, value_parser = ["json"])]
    pub(crate) format: Option<String>,
    #[command(subcommand)]
    pub(crate) command: ExplainCommand,
}

/// A language that the steps are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// English
    En,
    /// Korean
    Ko,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Create and run a new container from an image, and tell its journey
    #[command(override_usage = "sampan explain run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Run(Box<RunArguments>),
    /// Download an image from a registry, and tell its journey
    #[command(override_usage = "sampan explain pull [OPTIONS] NAME[:TAG|@DIGEST]")]
    Pull(PullArguments),
    /// Tell who client and server are, and why the server is what it is
    #[command(override_usage = "sampan explain version")]
    Version,
}
