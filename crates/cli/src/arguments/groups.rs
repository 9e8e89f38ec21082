//! Commands by what they are about: `container`, `image` and `system` hold those that can also be given alone.

use clap::{Args, Subcommand};

use super::{
    AttachArguments, CommitArguments, ContainerInspectArguments, CpArguments, CreateArguments, DiffArguments,
    EventsArguments, ExecArguments, ExportArguments, FormatArguments, HistoryArguments,
    ImageInspectArguments, ImagesArguments, ImportArguments, KillArguments, LoadArguments, LogsArguments,
    Names, PortArguments, PsArguments, PullArguments, PushArguments, RenameArguments, RmArguments,
    RmiArguments, RunArguments, SaveArguments, StartArguments, StatsArguments, StopArguments, TagArguments,
    TopArguments, UpdateArguments,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    /// Attach local standard input, output, and error streams to a running container
    #[command(override_usage = "sampan container attach [OPTIONS] CONTAINER")]
    Attach(AttachArguments),
    /// Create a new image from a container's changes
    #[command(override_usage = "sampan container commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]")]
    Commit(CommitArguments),
    /// Copy files/folders between a container and the local filesystem
    #[command(
        override_usage = "sampan container cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tsampan container cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH"
    )]
    Cp(CpArguments),
    /// Create a new container
    #[command(override_usage = "sampan container create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Create(Box<CreateArguments>),
    /// Inspect changes to files or directories on a container's filesystem
    #[command(override_usage = "sampan container diff CONTAINER")]
    Diff(DiffArguments),
    /// Execute a command in a running container
    #[command(override_usage = "sampan container exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
    Exec(ExecArguments),
    /// Export a container's filesystem as a tar archive
    #[command(override_usage = "sampan container export [OPTIONS] CONTAINER")]
    Export(ExportArguments),
    /// Display detailed information on one or more containers
    #[command(override_usage = "sampan container inspect [OPTIONS] CONTAINER [CONTAINER...]")]
    Inspect(ContainerInspectArguments),
    /// Kill one or more running containers
    #[command(override_usage = "sampan container kill [OPTIONS] CONTAINER [CONTAINER...]")]
    Kill(KillArguments),
    /// Fetch the logs of a container
    #[command(override_usage = "sampan container logs [OPTIONS] CONTAINER")]
    Logs(LogsArguments),
    /// List containers
    #[command(override_usage = "sampan container ls [OPTIONS]", aliases = ["list", "ps"])]
    Ls(PsArguments),
    /// Pause all processes within one or more containers
    #[command(override_usage = "sampan container pause CONTAINER [CONTAINER...]")]
    Pause(Names),
    /// List port mappings or a specific mapping for the container
    #[command(override_usage = "sampan container port CONTAINER [PRIVATE_PORT[/PROTO]]")]
    Port(PortArguments),
    /// Remove all stopped containers
    #[command(override_usage = "sampan container prune [OPTIONS]")]
    Prune(PruneArguments),
    /// Rename a container
    #[command(override_usage = "sampan container rename CONTAINER NEW_NAME")]
    Rename(RenameArguments),
    /// Restart one or more containers
    #[command(override_usage = "sampan container restart [OPTIONS] CONTAINER [CONTAINER...]")]
    Restart(StopArguments),
    /// Remove one or more containers
    #[command(
        override_usage = "sampan container rm [OPTIONS] CONTAINER [CONTAINER...]",
        alias = "remove"
    )]
    Rm(RmArguments),
    /// Create and run a new container from an image
    #[command(override_usage = "sampan container run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Run(Box<RunArguments>),
    /// Start one or more stopped containers
    #[command(override_usage = "sampan container start [OPTIONS] CONTAINER [CONTAINER...]")]
    Start(StartArguments),
    /// Display a live stream of container(s) resource usage statistics
    #[command(override_usage = "sampan container stats [OPTIONS] [CONTAINER...]")]
    Stats(StatsArguments),
    /// Stop one or more running containers
    #[command(override_usage = "sampan container stop [OPTIONS] CONTAINER [CONTAINER...]")]
    Stop(StopArguments),
    /// Display the running processes of a container
    #[command(override_usage = "sampan container top CONTAINER [ps OPTIONS]")]
    Top(TopArguments),
    /// Unpause all processes within one or more containers
    #[command(override_usage = "sampan container unpause CONTAINER [CONTAINER...]")]
    Unpause(Names),
    /// Update configuration of one or more containers
    #[command(override_usage = "sampan container update [OPTIONS] CONTAINER [CONTAINER...]")]
    Update(UpdateArguments),
    /// Block until one or more containers stop, then print their exit codes
    #[command(override_usage = "sampan container wait CONTAINER [CONTAINER...]")]
    Wait(Names),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Show the history of an image
    #[command(override_usage = "sampan image history [OPTIONS] IMAGE")]
    History(HistoryArguments),
    /// Import the contents from a tarball to create a filesystem image
    #[command(override_usage = "sampan image import [OPTIONS] FILE|- [REPOSITORY[:TAG]]")]
    Import(ImportArguments),
    /// Display detailed information on one or more images
    #[command(override_usage = "sampan image inspect [OPTIONS] IMAGE [IMAGE...]")]
    Inspect(ImageInspectArguments),
    /// Load an image from a tar archive or STDIN
    #[command(override_usage = "sampan image load [OPTIONS]")]
    Load(LoadArguments),
    /// List images
    #[command(
        override_usage = "sampan image ls [OPTIONS] [REPOSITORY[:TAG]]",
        alias = "list"
    )]
    Ls(ImagesArguments),
    /// Remove unused images
    #[command(override_usage = "sampan image prune [OPTIONS]")]
    Prune(PruneArguments),
    /// Download an image from a registry
    #[command(override_usage = "sampan image pull [OPTIONS] NAME[:TAG|@DIGEST]")]
    Pull(PullArguments),
    /// Upload an image to a registry
    #[command(override_usage = "sampan image push [OPTIONS] NAME[:TAG]")]
    Push(PushArguments),
    /// Remove one or more images
    #[command(
        override_usage = "sampan image rm [OPTIONS] IMAGE [IMAGE...]",
        alias = "remove"
    )]
    Rm(RmiArguments),
    /// Save one or more images to a tar archive (streamed to STDOUT by default)
    #[command(override_usage = "sampan image save [OPTIONS] IMAGE [IMAGE...]")]
    Save(SaveArguments),
    /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
    #[command(override_usage = "sampan image tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]")]
    Tag(TagArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    /// Proxy the stdio stream to the daemon connection. Should not be invoked manually.
    #[command(override_usage = "sampan system dial-stdio", hide = true)]
    DialStdio,
    /// Show disk usage
    #[command(override_usage = "sampan system df [OPTIONS]")]
    Df(DiskUsageArguments),
    /// Get real time events from the server
    #[command(override_usage = "sampan system events [OPTIONS]")]
    Events(EventsArguments),
    /// Display system-wide information
    #[command(override_usage = "sampan system info [OPTIONS]")]
    Info(FormatArguments),
    /// Remove unused data
    #[command(override_usage = "sampan system prune [OPTIONS]")]
    Prune(SystemPruneArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DiskUsageArguments {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// How much is removed, and whether it is asked first.
#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Remove all unused ones, not just dangling or anonymous ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SystemPruneArguments {
    #[command(flatten)]
    pub(crate) prune: PruneArguments,
    /// Prune anonymous volumes
    #[arg(long)]
    pub(crate) volumes: bool,
}
