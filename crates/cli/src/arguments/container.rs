//! Flags of the commands about containers.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::limits::LimitFlags;

/// Names or IDs of containers.
#[derive(Debug, Args)]
pub(crate) struct Names {
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct RunArguments {
    /// Run container in background and print container ID
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Proxy received signals to the process
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) sig_proxy: bool,
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
}

/// What `run` and `create` share.
#[derive(Debug, Args)]
pub(crate) struct ContainerFlags {
    /// Print usage
    #[arg(long, action = ArgAction::HelpLong)]
    pub(crate) help: Option<bool>,
    #[command(flatten)]
    pub(crate) limits: LimitFlags,
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "LIST")]
    pub(crate) add_host: Vec<String>,
    /// Add an annotation to the container
    #[arg(long, value_name = "MAP")]
    pub(crate) annotation: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "LIST", ignore_case = true, value_parser = ["stdin", "stdout", "stderr"])]
    pub(crate) attach: Vec<String>,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "LIST")]
    pub(crate) blkio_weight_device: Vec<String>,
    /// Add Linux capabilities
    #[arg(long, value_name = "LIST")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "LIST")]
    pub(crate) cap_drop: Vec<String>,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "MODE")]
    pub(crate) cgroupns: Option<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Add a device of the machine to the container
    #[arg(long, value_name = "LIST")]
    pub(crate) device: Vec<String>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "LIST")]
    pub(crate) device_cgroup_rule: Vec<String>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "LIST")]
    pub(crate) device_read_bps: Vec<String>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "LIST")]
    pub(crate) device_read_iops: Vec<String>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "LIST")]
    pub(crate) device_write_bps: Vec<String>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "LIST")]
    pub(crate) device_write_iops: Vec<String>,
    /// Skip image verification: there is none, so this changes nothing
    #[arg(long, hide = true)]
    pub(crate) disable_content_trust: bool,
    /// Set custom DNS servers
    #[arg(long, value_name = "LIST")]
    pub(crate) dns: Vec<String>,
    /// Set DNS options
    #[arg(long, value_name = "LIST")]
    pub(crate) dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "LIST")]
    pub(crate) dns_search: Vec<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "LIST")]
    pub(crate) expose: Vec<String>,
    /// Add additional groups to join
    #[arg(long, value_name = "LIST")]
    pub(crate) group_add: Vec<String>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(crate) init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_name = "GPUS")]
    pub(crate) gpus: Vec<String>,
    /// IPC mode to use
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<String>,
    /// Set meta data on a container
    #[arg(short, long, value_name = "LIST")]
    pub(crate) label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<PathBuf>,
    /// Logging driver for the container
    #[arg(long, value_name = "NAME")]
    pub(crate) log_driver: Option<String>,
    /// Log driver options
    #[arg(long, value_name = "LIST")]
    pub(crate) log_opt: Vec<String>,
    /// Tune container memory swappiness (0 to 100)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) memory_swappiness: Option<i64>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "MOUNT")]
    pub(crate) mount: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Connect a container to a network
    #[arg(long, value_name = "NETWORK", visible_alias = "net")]
    pub(crate) network: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "NAME", visible_alias = "net-alias")]
    pub(crate) network_alias: Vec<String>,
    /// Hold the container to this rate, sending and receiving, on each of its networks (e.g., 10mbit, 1mb)
    #[arg(long, value_name = "RATE")]
    pub(crate) network_rate: Option<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "IP")]
    pub(crate) ip: Option<String>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "IP")]
    pub(crate) ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    pub(crate) link: Vec<String>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "MAC")]
    pub(crate) mac_address: Option<String>,
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    pub(crate) health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_interval: Option<String>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "NUMBER")]
    pub(crate) health_retries: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h) (default 5s)
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_start_interval: Option<String>,
    /// Start period for the container to initialize before failures count (ms|s|m|h)
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_start_period: Option<String>,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "DURATION")]
    pub(crate) health_timeout: Option<String>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
    /// Disable OOM Killer
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Tune the machine's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) oom_score_adj: Option<i64>,
    /// PID namespace to use
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<String>,
    /// Platform of the image and the machine, such as linux/arm64
    #[arg(long, value_name = "PLATFORM", env = "DOCKER_DEFAULT_PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short = 'p', long, value_name = "LIST")]
    pub(crate) publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Pull image before running
    #[arg(long, value_name = "WHEN", default_value = "missing", value_parser = ["always", "missing", "never"])]
    pub(crate) pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Runtime to use for this container
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<String>,
    /// Security Options
    #[arg(long, value_name = "LIST")]
    pub(crate) security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    pub(crate) shm_size: Option<String>,
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) stop_timeout: Option<i64>,
    /// Storage driver options for the container
    #[arg(long, value_name = "LIST")]
    pub(crate) storage_opt: Vec<String>,
    /// Sysctl options
    #[arg(long, value_name = "MAP")]
    pub(crate) sysctl: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "LIST")]
    pub(crate) tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Ulimit options
    #[arg(long, value_name = "ULIMIT")]
    pub(crate) ulimit: Vec<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// User namespace to use
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// UTS namespace to use
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<String>,
    /// Bind mount a volume
    #[arg(short, long, value_name = "LIST")]
    pub(crate) volume: Vec<String>,
    /// Optional volume driver for the container
    #[arg(long, value_name = "DRIVER")]
    pub(crate) volume_driver: Option<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "LIST")]
    pub(crate) volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// The image, and the command to run in place of its own
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE")]
    pub(crate) image_and_command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "LIST")]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,
    /// The container, and the command to execute in it
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"])]
    pub(crate) container_and_command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PsArguments {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    pub(crate) size: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    /// Signal to send to the container
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(
        short = 't',
        long = "timeout",
        alias = "time",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    pub(crate) timeout: Option<i64>,
    #[command(flatten)]
    pub(crate) names: Names,
}

#[derive(Debug, Args)]
pub(crate) struct KillArguments {
    /// Signal to send to the container
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    #[command(flatten)]
    pub(crate) names: Names,
}

#[derive(Debug, Args)]
pub(crate) struct RmArguments {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    pub(crate) link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    pub(crate) volumes: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArguments {
    pub(crate) container: String,
    pub(crate) new_name: String,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// Show extra details provided to logs
    #[arg(long)]
    pub(crate) details: bool,
    /// Follow log output
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value = "all",
        allow_hyphen_values = true
    )]
    pub(crate) tail: String,
    /// Show timestamps
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    pub(crate) container: String,
}

/// How a terminal session with a container behaves.
#[derive(Debug, Args)]
pub(crate) struct TermArguments {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Proxy all received signals to the process
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) sig_proxy: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArguments {
    #[command(flatten)]
    pub(crate) term: TermArguments,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    pub(crate) interactive: bool,
    #[command(flatten)]
    pub(crate) term: TermArguments,
    #[command(flatten)]
    pub(crate) names: Names,
}
