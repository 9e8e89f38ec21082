//! `sampan`: containers from the command line; the service that runs them; the process of one machine.
//!
//! Every command but `service` and `vmm` is a client of the Docker Engine API and asks the service; the service
//! is started where it is not there.

mod arguments;
mod autostart;
mod client;
mod commands;
mod contexts;
mod create;
mod credentials;
mod detach;
mod devices;
mod explain;
mod failure;
mod format;
mod host;
mod mounts;
mod networks;
mod output;
mod progress;
mod redact;
mod reference;
mod replace;
mod service;
mod session;
mod settings;
mod sys;
mod template;
mod transport;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The process of a machine reads no command line: it is started by the service alone.
    if std::env::args_os().nth(1).is_some_and(|command| command == "vmm") {
        return run_machine();
    }
    match arguments::parse(std::env::args_os()).and_then(commands::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The process of one machine: its configuration comes on stdin, its log goes to stderr.
fn run_machine() -> ExitCode {
    service::log_to_stderr();
    match vmm::run_process() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the machine's process ended");
            ExitCode::FAILURE
        }
    }
}
