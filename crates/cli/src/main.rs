//! `sampan`: containers from the command line; the service that runs them; the process of one machine.
//!
//! Every command but `service` and `vmm` is a client of the Docker Engine API and asks the service; the service
//! is started where it is not there.

mod arguments;
mod autostart;
mod client;
mod commands;
mod create;
mod credentials;
mod detach;
mod failure;
mod format;
mod output;
mod progress;
mod reference;
mod service;
mod session;
mod settings;
mod sys;
mod template;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The process of a machine reads no command line: it is started by the service alone.
    if std::env::args_os().nth(1).is_some_and(|command| command == "vmm") {
        return vmm::run_process();
    }
    match arguments::parse(std::env::args_os()).and_then(commands::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
