//! Flags of `network`.

use clap::{Args, Subcommand};

use super::{ObjectArguments, ObjectListArguments, ObjectRemoveArguments, PruneArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Connect a container to a network
    #[command(override_usage = "sampan network connect [OPTIONS] NETWORK CONTAINER")]
    Connect(NetworkConnectArguments),
    /// Create a network
    #[command(override_usage = "sampan network create [OPTIONS] NETWORK")]
    Create(NetworkCreateArguments),
    /// Disconnect a container from a network
    #[command(override_usage = "sampan network disconnect [OPTIONS] NETWORK CONTAINER")]
    Disconnect(NetworkDisconnectArguments),
    /// Display detailed information on one or more networks
    #[command(override_usage = "sampan network inspect [OPTIONS] NETWORK [NETWORK...]")]
    Inspect(NetworkInspectArguments),
    /// List networks
    #[command(override_usage = "sampan network ls [OPTIONS]", alias = "list")]
    Ls(ObjectListArguments),
    /// Remove all unused networks
    #[command(override_usage = "sampan network prune [OPTIONS]")]
    Prune(PruneArguments),
    /// Remove one or more networks
    #[command(override_usage = "sampan network rm NETWORK [NETWORK...]", alias = "remove")]
    Rm(ObjectRemoveArguments),
}

#[derive(Debug, Args)]
pub(crate) struct NetworkCreateArguments {
    /// Enable manual container attachment
    #[arg(long)]
    pub(crate) attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "NAME=IP")]
    pub(crate) aux_address: Vec<String>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "NETWORK")]
    pub(crate) config_from: Option<String>,
    /// Create a configuration only network
    #[arg(long)]
    pub(crate) config_only: bool,
    /// Driver to manage the Network
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    pub(crate) driver: String,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "IP")]
    pub(crate) gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long)]
    pub(crate) ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    pub(crate) internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "CIDR")]
    pub(crate) ip_range: Vec<String>,
    /// IP Address Management Driver
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    pub(crate) ipam_driver: String,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "OPTION")]
    pub(crate) ipam_opt: Vec<String>,
    /// Enable or disable IPv4 address assignment
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) ipv4: Option<bool>,
    /// Enable IPv6 networking
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// Set metadata on a network
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "OPTION")]
    pub(crate) opt: Vec<String>,
    /// Control the network's scope
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "CIDR")]
    pub(crate) subnet: Vec<String>,
    pub(crate) network: String,
}

#[derive(Debug, Args)]
pub(crate) struct NetworkInspectArguments {
    /// Verbose output for diagnostics
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) objects: ObjectArguments,
}

#[derive(Debug, Args)]
pub(crate) struct NetworkConnectArguments {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// Driver options for the network
    #[arg(long, value_name = "OPTION")]
    pub(crate) driver_opt: Vec<String>,
    /// Highest gw-priority provides the default gateway. Accepts positive and negative values
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) gw_priority: Option<i64>,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "IP")]
    pub(crate) ip: Option<String>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "IP")]
    pub(crate) ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    pub(crate) link: Vec<String>,
    pub(crate) network: String,
    pub(crate) container: String,
}

#[derive(Debug, Args)]
pub(crate) struct NetworkDisconnectArguments {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    pub(crate) force: bool,
    pub(crate) network: String,
    pub(crate) container: String,
}
