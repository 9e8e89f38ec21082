//! Flags of `context`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Create a context
    #[command(override_usage = "sampan context create [OPTIONS] CONTEXT")]
    Create(ContextCreateArguments),
    /// Export a context to a tar archive FILE or a tar stream on STDOUT
    #[command(override_usage = "sampan context export CONTEXT [FILE|-]")]
    Export {
        context: String,
        #[arg(value_name = "FILE|-")]
        file: Option<String>,
    },
    /// Import a context from a tar file
    #[command(override_usage = "sampan context import CONTEXT FILE|-")]
    Import {
        context: String,
        #[arg(value_name = "FILE|-")]
        file: String,
    },
    /// Display detailed information on one or more contexts
    #[command(override_usage = "sampan context inspect [OPTIONS] [CONTEXT] [CONTEXT...]")]
    Inspect {
        /// Format output using a custom template: 'json' or a Go template
        #[arg(short, long, value_name = "FORMAT")]
        format: Option<String>,
        #[arg(value_name = "CONTEXT")]
        contexts: Vec<String>,
    },
    /// List contexts
    #[command(override_usage = "sampan context ls [OPTIONS]", alias = "list")]
    Ls {
        /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template
        #[arg(long, value_name = "FORMAT")]
        format: Option<String>,
        /// Only show context names
        #[arg(short, long)]
        quiet: bool,
    },
    /// Remove one or more contexts
    #[command(override_usage = "sampan context rm CONTEXT [CONTEXT...]", alias = "remove")]
    Rm {
        /// Force the removal of a context in use
        #[arg(short, long)]
        force: bool,
        #[arg(required = true, value_name = "CONTEXT")]
        contexts: Vec<String>,
    },
    /// Print the name of the current context
    #[command(override_usage = "sampan context show")]
    Show,
    /// Update a context
    #[command(override_usage = "sampan context update [OPTIONS] CONTEXT")]
    Update(ContextUpdateArguments),
    /// Set the current context, of sampan alone: `docker` goes on with its own
    #[command(override_usage = "sampan context use CONTEXT")]
    Use { context: String },
}

#[derive(Debug, Args)]
pub(crate) struct ContextCreateArguments {
    /// Description of the context
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Set the docker endpoint: host, ca, cert, key, skip-tls-verify, or from, another context (e.g.
    /// "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file")
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) docker: Vec<String>,
    /// Create context from a named context
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) from: Option<String>,
    pub(crate) context: String,
}

#[derive(Debug, Args)]
pub(crate) struct ContextUpdateArguments {
    /// Description of the context
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Set the docker endpoint: host, ca, cert, key, skip-tls-verify, or from, another context
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) docker: Vec<String>,
    pub(crate) context: String,
}
