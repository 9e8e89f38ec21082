//! The command line: Docker's commands with Docker's flags, and sampan's own.

mod container;
mod context;
mod engine;
mod explain;
mod files;
mod groups;
mod image;
mod limits;
mod machine;
mod network;
mod normalize;
mod refusal;
mod registry;
mod volume;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use container::ContainerFlags;
pub(crate) use container::{
    AttachArguments, CreateArguments, ExecArguments, KillArguments, LogsArguments, Names, PsArguments,
    RenameArguments, RmArguments, RunArguments, StartArguments, StopArguments,
};
pub(crate) use context::{ContextCommand, ContextCreateArguments, ContextUpdateArguments};
pub(crate) use engine::EngineFlags;
pub(crate) use explain::{ExplainArguments, ExplainCommand, Language};
pub(crate) use files::{
    CpArguments, DiffArguments, ExportArguments, PortArguments, StatsArguments, TopArguments, UpdateArguments,
};
pub(crate) use groups::{
    ContainerCommand, DiskUsageArguments, ImageCommand, PruneArguments, SystemCommand, SystemPruneArguments,
};
pub(crate) use image::{
    CommitArguments, ContainerInspectArguments, EventsArguments, FormatArguments, HistoryArguments,
    ImageInspectArguments, ImagesArguments, ImportArguments, InspectArguments, LoadArguments, PullArguments,
    PushArguments, RmiArguments, SaveArguments, TagArguments,
};
pub(crate) use machine::{
    DoctorArguments, MachineCommand, MachineInspectArguments, MachineStartArguments, ServiceAction,
    ServiceArguments,
};

pub(crate) use network::{NetworkCommand, NetworkConnectArguments, NetworkCreateArguments};
pub(crate) use registry::{LoginArguments, LogoutArguments, SearchArguments};
pub(crate) use volume::{
    ObjectArguments, ObjectListArguments, ObjectRemoveArguments, VolumeCommand, VolumeCreateArguments,
};

use crate::failure::Failure;

/// Linux containers on this laptop, in a machine of their own.
#[derive(Debug, Parser)]
#[command(
    name = "sampan",
    version,
    max_term_width = 110,
    disable_help_subcommand = true
)]
#[command(override_usage = "sampan [OPTIONS] COMMAND")]
#[command(after_help = "Run 'sampan COMMAND --help' for more information on a command.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) engine: EngineFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create and run a new container from an image
    #[command(override_usage = "sampan run [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Run(Box<RunArguments>),
    /// Execute a command in a running container
    #[command(override_usage = "sampan exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
    Exec(ExecArguments),
    /// List containers
    #[command(override_usage = "sampan ps [OPTIONS]", alias = "ls")]
    Ps(PsArguments),
    /// Download an image from a registry
    #[command(override_usage = "sampan pull [OPTIONS] NAME[:TAG|@DIGEST]")]
    Pull(PullArguments),
    /// Upload an image to a registry
    #[command(override_usage = "sampan push [OPTIONS] NAME[:TAG]")]
    Push(PushArguments),
    /// List images
    #[command(override_usage = "sampan images [OPTIONS] [REPOSITORY[:TAG]]")]
    Images(ImagesArguments),
    /// Show the version of sampan, and why the server is what it is
    #[command(override_usage = "sampan version [OPTIONS]")]
    Version(FormatArguments),
    /// Display system-wide information
    #[command(override_usage = "sampan info [OPTIONS]")]
    Info(FormatArguments),
    /// Authenticate to a registry
    #[command(override_usage = "sampan login [OPTIONS] [SERVER]")]
    Login(LoginArguments),
    /// Log out from a registry
    #[command(override_usage = "sampan logout [SERVER]")]
    Logout(LogoutArguments),
    /// Search Docker Hub, or another registry, for images
    #[command(override_usage = "sampan search [OPTIONS] TERM")]
    Search(SearchArguments),

    /// Manage containers
    #[command(subcommand, override_usage = "sampan container COMMAND")]
    Container(ContainerCommand),
    /// Manage contexts
    #[command(subcommand, override_usage = "sampan context COMMAND")]
    Context(ContextCommand),
    /// Manage images
    #[command(subcommand, override_usage = "sampan image COMMAND")]
    Image(ImageCommand),
    /// Manage sampan
    #[command(subcommand, override_usage = "sampan system COMMAND")]
    System(SystemCommand),
    /// Manage networks
    #[command(subcommand, override_usage = "sampan network COMMAND")]
    Network(NetworkCommand),
    /// Manage volumes
    #[command(subcommand, override_usage = "sampan volume COMMAND")]
    Volume(VolumeCommand),

    /// Attach local standard input, output, and error streams to a running container
    #[command(override_usage = "sampan attach [OPTIONS] CONTAINER")]
    Attach(AttachArguments),
    /// Create a new container
    #[command(override_usage = "sampan create [OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Create(Box<CreateArguments>),
    /// Create a new image from a container's changes
    #[command(override_usage = "sampan commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]")]
    Commit(CommitArguments),
    /// Import the contents from a tarball to create a filesystem image
    #[command(override_usage = "sampan import [OPTIONS] FILE|- [REPOSITORY[:TAG]]")]
    Import(ImportArguments),
    /// Copy files/folders between a container and the local filesystem
    #[command(
        override_usage = "sampan cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tsampan cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH"
    )]
    Cp(CpArguments),
    /// Inspect changes to files or directories on a container's filesystem
    #[command(override_usage = "sampan diff CONTAINER")]
    Diff(DiffArguments),
    /// Export a container's filesystem as a tar archive
    #[command(override_usage = "sampan export [OPTIONS] CONTAINER")]
    Export(ExportArguments),
    /// List port mappings or a specific mapping for the container
    #[command(override_usage = "sampan port CONTAINER [PRIVATE_PORT[/PROTO]]")]
    Port(PortArguments),
    /// Display a live stream of container(s) resource usage statistics
    #[command(override_usage = "sampan stats [OPTIONS] [CONTAINER...]")]
    Stats(StatsArguments),
    /// Display the running processes of a container
    #[command(override_usage = "sampan top CONTAINER [ps OPTIONS]")]
    Top(TopArguments),
    /// Update configuration of one or more containers
    #[command(override_usage = "sampan update [OPTIONS] CONTAINER [CONTAINER...]")]
    Update(UpdateArguments),
    /// Get real time events from the server
    #[command(override_usage = "sampan events [OPTIONS]")]
    Events(EventsArguments),
    /// Show the history of an image
    #[command(override_usage = "sampan history [OPTIONS] IMAGE")]
    History(HistoryArguments),
    /// Return low-level information on containers, images, networks and volumes
    #[command(override_usage = "sampan inspect [OPTIONS] NAME|ID [NAME|ID...]")]
    Inspect(InspectArguments),
    /// Kill one or more running containers
    #[command(override_usage = "sampan kill [OPTIONS] CONTAINER [CONTAINER...]")]
    Kill(KillArguments),
    /// Load an image from a tar archive or STDIN
    #[command(override_usage = "sampan load [OPTIONS]")]
    Load(LoadArguments),
    /// Fetch the logs of a container
    #[command(override_usage = "sampan logs [OPTIONS] CONTAINER")]
    Logs(LogsArguments),
    /// Pause all processes within one or more containers
    #[command(override_usage = "sampan pause CONTAINER [CONTAINER...]")]
    Pause(Names),
    /// Rename a container
    #[command(override_usage = "sampan rename CONTAINER NEW_NAME")]
    Rename(RenameArguments),
    /// Restart one or more containers
    #[command(override_usage = "sampan restart [OPTIONS] CONTAINER [CONTAINER...]")]
    Restart(StopArguments),
    /// Remove one or more containers
    #[command(override_usage = "sampan rm [OPTIONS] CONTAINER [CONTAINER...]")]
    Rm(RmArguments),
    /// Remove one or more images
    #[command(override_usage = "sampan rmi [OPTIONS] IMAGE [IMAGE...]")]
    Rmi(RmiArguments),
    /// Save one or more images to a tar archive (streamed to STDOUT by default)
    #[command(override_usage = "sampan save [OPTIONS] IMAGE [IMAGE...]")]
    Save(SaveArguments),
    /// Start one or more stopped containers
    #[command(override_usage = "sampan start [OPTIONS] CONTAINER [CONTAINER...]")]
    Start(StartArguments),
    /// Stop one or more running containers
    #[command(override_usage = "sampan stop [OPTIONS] CONTAINER [CONTAINER...]")]
    Stop(StopArguments),
    /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
    #[command(override_usage = "sampan tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]")]
    Tag(TagArguments),
    /// Unpause all processes within one or more containers
    #[command(override_usage = "sampan unpause CONTAINER [CONTAINER...]")]
    Unpause(Names),
    /// Block until one or more containers stop, then print their exit codes
    #[command(override_usage = "sampan wait CONTAINER [CONTAINER...]")]
    Wait(Names),

    /// Run a command and tell what happened for it, step by step and with times
    #[command(override_usage = "sampan explain [OPTIONS] COMMAND")]
    Explain(ExplainArguments),
    /// Start, stop and inspect the machines that containers run in
    #[command(subcommand, override_usage = "sampan machine COMMAND")]
    Machine(MachineCommand),
    /// Check this host, its hypervisor and sampan's data, and say what to do about each finding
    #[command(override_usage = "sampan doctor [OPTIONS]")]
    Doctor(DoctorArguments),
    /// Run the service in the foreground (clients start it by themselves)
    #[command(override_usage = "sampan service [OPTIONS]")]
    Service(Box<ServiceArguments>),
    /// Print a completion script for a shell
    #[command(override_usage = "sampan completion SHELL")]
    Completion {
        /// The shell: bash, zsh, fish, powershell or elvish
        shell: clap_complete::Shell,
    },
    /// Write a manual page of every command into a folder
    #[command(override_usage = "sampan manual FOLDER")]
    Manual {
        /// Where the pages go, such as ~/.local/share/man/man1; made where it is not there
        folder: PathBuf,
    },
    /// Run one machine for the service
    #[command(hide = true)]
    Vmm,
}

/// Reads the command line. What is not understood is refused as Docker refuses it; help is printed.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Failure> {
    let command = Arguments::command();
    let arguments = normalize::switches(&command, arguments.into_iter().collect());
    command
        .try_get_matches_from(&arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|error| refusal::failure(&error, &arguments))
}

#[cfg(test)]
mod docker;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, Failure> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn run(line: &str) -> RunArguments {
        match parsed(line).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_stop_at_the_image() {
        let run = run("sampan run -it --rm alpine ls -l --name x --rm=false");
        assert!(run.container.interactive && run.container.tty && run.container.rm);
        assert_eq!(run.container.name, None);
        assert_eq!(
            run.container.image_and_command,
            ["alpine", "ls", "-l", "--name", "x", "--rm=false"]
        );
    }

    #[test]
    fn short_flags_combine_and_a_value_can_be_stuck_to_the_last() {
        let run = run("sampan run -itd -eA=1 -e B -w/tmp -u 1:2 alpine");
        assert!(run.container.interactive && run.container.tty && run.detach);
        assert_eq!(run.container.env, ["A=1", "B"]);
        assert_eq!(run.container.workdir.as_deref(), Some("/tmp"));
        assert_eq!(run.container.user.as_deref(), Some("1:2"));
    }

    #[test]
    fn a_double_dash_ends_the_flags() {
        let run = run("sampan run --rm -- alpine -x");
        assert_eq!(run.container.image_and_command, ["alpine", "-x"]);
    }

    #[test]
    fn switches_take_true_and_false() {
        let run = run("sampan run --rm=false --tty=true --sig-proxy=false alpine");
        assert!(!run.container.rm && run.container.tty && !run.sig_proxy);
    }

    #[test]
    fn h_is_the_hostname_in_run() {
        assert_eq!(
            run("sampan run -h web alpine").container.hostname.as_deref(),
            Some("web")
        );
    }

    #[test]
    fn c_is_a_context_before_the_command_and_cpu_shares_after_it() {
        let arguments = parsed("sampan -c far run -c 512 alpine").unwrap();
        assert_eq!(arguments.engine.context.as_deref(), Some("far"));
        match arguments.command {
            Command::Run(run) => assert_eq!(run.container.limits.cpu_shares, Some(512)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_switch_of_tls_knows_whether_it_was_given() {
        let engine = |line: &str| {
            let engine = parsed(line).unwrap().engine;
            (engine.tls, engine.tlsverify)
        };
        assert_eq!(engine("sampan ps"), (None, None));
        assert_eq!(engine("sampan --tls --tlsverify=0 ps"), (Some(true), Some(false)));
        assert_eq!(
            engine("sampan --tls=false --tlsverify ps"),
            (Some(false), Some(true))
        );
    }

    #[test]
    fn values_that_look_like_flags_belong_to_their_flag() {
        let run = run("sampan run --memory-swap -1 --pids-limit -1 alpine");
        assert_eq!(run.container.limits.memory_swap.as_deref(), Some("-1"));
        assert_eq!(run.container.limits.pids_limit, Some(-1));
    }

    #[test]
    fn flags_can_follow_names_where_no_command_is_run() {
        match parsed("sampan rm one -f two").unwrap().command {
            Command::Rm(rm) => assert_eq!((rm.force, rm.containers.len()), (true, 2)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_push_takes_one_name() {
        match parsed("sampan image push -aq me/app").unwrap().command {
            Command::Image(ImageCommand::Push(push)) => {
                assert_eq!(
                    (push.all_tags, push.quiet, push.image.as_str()),
                    (true, true, "me/app")
                );
            }
            other => panic!("{other:?}"),
        }
        let failure = parsed("sampan push one two").unwrap_err();
        assert!(
            failure
                .message
                .starts_with("sampan: 'sampan push' requires 1 argument"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn an_unknown_flag_is_refused_in_dockers_form() {
        let failure = parsed("sampan run --foo alpine").unwrap_err();
        assert_eq!(
            failure.message,
            "unknown flag: --foo\n\nUsage:  sampan run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
             Run 'sampan run --help' for more information"
        );
        assert_eq!(failure.code, 125);
    }

    #[test]
    fn a_missing_image_is_refused_in_dockers_form() {
        let failure = parsed("sampan run").unwrap_err();
        assert_eq!(
            failure.message,
            "sampan: 'sampan run' requires at least 1 argument\n\n\
             Usage:  sampan run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
             See 'sampan run --help' for more information"
        );
        assert_eq!(failure.code, 1);
    }

    #[test]
    fn exec_needs_a_command() {
        let failure = parsed("sampan exec web").unwrap_err();
        assert!(
            failure
                .message
                .contains("'sampan exec' requires at least 2 arguments"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_command_that_takes_no_arguments_says_so() {
        let failure = parsed("sampan ps web").unwrap_err();
        assert!(
            failure
                .message
                .starts_with("sampan: 'sampan ps' accepts no arguments"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn an_unknown_command_is_named() {
        let failure = parsed("sampan foo").unwrap_err();
        assert_eq!(
            failure.message,
            "sampan: unknown command: sampan foo\n\nRun 'sampan --help' for more information"
        );
    }

    #[test]
    fn a_bad_value_names_its_flag() {
        let failure = parsed("sampan run --pids-limit many alpine").unwrap_err();
        assert!(failure.message.contains("--pids-limit"), "{}", failure.message);
        assert_eq!(failure.code, 125);
    }
}
