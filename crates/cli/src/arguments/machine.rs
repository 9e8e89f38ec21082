//! Flags of what only sampan has.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use engine::Architecture;

use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// Start a machine, and keep settings for it
    #[command(override_usage = "sampan machine start [OPTIONS]")]
    Start(MachineStartArguments),
    /// Stop a machine and the containers in it
    #[command(override_usage = "sampan machine stop [OPTIONS]")]
    Stop(MachineStopArguments),
    /// Show what a machine is, how it executes and why
    #[command(override_usage = "sampan machine inspect [OPTIONS]")]
    Inspect(MachineInspectArguments),
}

#[derive(Debug, Args)]
pub(crate) struct MachineStartArguments {
    /// The machine's architecture: amd64 or arm64 (default: the default machine's)
    #[arg(long, value_name = "ARCHITECTURE")]
    pub(crate) arch: Option<Architecture>,
    /// Make this the machine that commands without --platform use
    #[arg(long, requires = "arch")]
    pub(crate) default: bool,
    /// How machines execute: auto, kvm, hvf, whp or tcg
    #[arg(long, value_name = "HOW")]
    pub(crate) accel: Option<String>,
    /// Virtual CPUs of each machine
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<u32>,
    /// Memory of each machine, such as 2g
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: Option<String>,
    /// Let the kernel tell its whole boot on the console
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) verbose_console: Option<bool>,
}

impl MachineStartArguments {
    /// The settings that were given.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            architecture: self.arch.filter(|_| self.default),
            acceleration: self.accel.clone(),
            cpus: self.cpus,
            memory: self.memory.clone(),
            verbose_console: self.verbose_console,
            ..Settings::default()
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct MachineStopArguments {
    /// The machine's architecture: amd64 or arm64 (default: the default machine's)
    #[arg(long, value_name = "ARCHITECTURE")]
    pub(crate) arch: Option<Architecture>,
}

#[derive(Debug, Args)]
pub(crate) struct MachineInspectArguments {
    /// The machine's architecture: amd64 or arm64 (default: the default machine's)
    #[arg(long, value_name = "ARCHITECTURE")]
    pub(crate) arch: Option<Architecture>,
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Write what a bug report needs, without secrets, into one file (.tar.gz)
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    pub(crate) archive: Option<PathBuf>,
    /// Overwrite the archive's file if it is there
    #[arg(long, requires = "archive")]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAction {
    /// End the service, its machines and the containers in them
    #[command(override_usage = "sampan service stop")]
    Stop,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ServiceArguments {
    #[command(subcommand)]
    pub(crate) action: Option<ServiceAction>,
    /// Architecture of the default machine: amd64 or arm64
    #[arg(long, value_name = "ARCHITECTURE", env = "SAMPAN_ARCH")]
    pub(crate) arch: Option<Architecture>,
    /// How machines execute: auto, kvm, hvf, whp or tcg
    #[arg(long, value_name = "HOW", env = "SAMPAN_ACCEL")]
    pub(crate) accel: Option<String>,
    /// Virtual CPUs of each machine
    #[arg(long, value_name = "NUMBER", env = "SAMPAN_CPUS")]
    pub(crate) cpus: Option<u32>,
    /// Memory of each machine, such as 2g
    #[arg(long, value_name = "BYTES", env = "SAMPAN_MEMORY")]
    pub(crate) memory: Option<String>,
    /// A registry (host[:port]) to speak to without TLS
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) insecure_registry: Vec<String>,
    /// Where to pull a registry's images from instead, as REGISTRY=URL
    #[arg(long, value_name = "REGISTRY=URL", value_parser = mirror)]
    pub(crate) mirror: Vec<(String, String)>,
    /// Where to listen, in place of the home folder's own socket
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Leave the terminal and tell on stdout when clients can connect
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

impl ServiceArguments {
    /// The settings that were given.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings {
            architecture: self.arch,
            acceleration: self.accel.clone(),
            cpus: self.cpus,
            memory: self.memory.clone(),
            insecure_registries: self.insecure_registry.clone(),
            ..Settings::default()
        };
        for (registry, url) in &self.mirror {
            settings
                .mirrors
                .entry(registry.clone())
                .or_default()
                .push(url.clone());
        }
        settings
    }
}

fn mirror(text: &str) -> Result<(String, String), String> {
    let (registry, url) = text.split_once('=').ok_or("write it as REGISTRY=URL")?;
    Ok((registry.to_owned(), url.to_owned()))
}
