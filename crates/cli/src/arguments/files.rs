//! Flags of the commands about a container's files, processes and limits.

use clap::Args;

use super::limits::LimitFlags;

#[derive(Debug, Args)]
pub(crate) struct CpArguments {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Suppress progress output during copy
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[arg(value_name = "SRC_PATH")]
    pub(crate) source: String,
    #[arg(value_name = "DEST_PATH")]
    pub(crate) destination: String,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<std::path::PathBuf>,
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    pub(crate) container: String,
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ps OPTIONS"
    )]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PortArguments {
    pub(crate) container: String,
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    pub(crate) port: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArguments {
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}
