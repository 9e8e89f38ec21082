//! Flags that say which engine is talked to.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

#[derive(Debug, Default, Args)]
pub(crate) struct EngineFlags {
    /// Name of the context to use to connect to the engine (overrides DOCKER_HOST and what was chosen with
    /// "sampan context use")
    #[arg(short, long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// Engine to connect to (unix:///path/of/the.sock, tcp://host:port, ssh://user@host)
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Use TLS; implied by --tlsverify
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub(crate) tls: Option<bool>,
    /// Trust certs signed only by this CA
    #[arg(long, value_name = "FILE")]
    pub(crate) tlscacert: Option<PathBuf>,
    /// Path to TLS certificate file
    #[arg(long, value_name = "FILE")]
    pub(crate) tlscert: Option<PathBuf>,
    /// Path to TLS key file
    #[arg(long, value_name = "FILE")]
    pub(crate) tlskey: Option<PathBuf>,
    /// Use TLS and verify the remote
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub(crate) tlsverify: Option<bool>,
}
