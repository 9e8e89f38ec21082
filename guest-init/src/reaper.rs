//! `docker-init`: PID 1 of a container that was started with `--init`.
//!
//! A program that was never meant to be PID 1 reaps no orphans and, having no handlers, cannot be ended by
//! SIGTERM. This process forwards every signal to the program as its child and reaps whatever is left to it;
//! the program's exit code becomes its own.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{WaitOptions, WaitStatus, wait};
use rustix::termios::tcsetpgrp;

use crate::sys;

/// Starts the program behind `--` and returns its exit code when it ended.
pub(crate) fn run(arguments: &[CString]) -> i32 {
    let mut words = arguments.iter().map(|word| OsStr::from_bytes(word.as_bytes()));
    if words.next() != Some(OsStr::new("--")) {
        return fail("usage: docker-init -- PROGRAM [ARGUMENT…]", 2);
    }
    let Some(program) = words.next() else {
        return fail("no program to start", 2);
    };
    if let Err(error) = sys::signal::block_all() {
        return fail(&format!("signals could not be blocked: {error}"), 1);
    }
    let child = match sys::process::fork() {
        Ok(sys::process::Forked::Parent { pid }) => pid,
        Ok(sys::process::Forked::Child) => sys::process::exit_now(become_program(program, words)),
        Err(error) => return fail(&format!("fork: {error}"), 1),
    };
    serve(child)
}

/// In the child: executes the program, in the foreground of the terminal if there is one.
fn become_program<'a>(program: &OsStr, arguments: impl Iterator<Item = &'a OsStr>) -> i32 {
    let [terminal, ..] = sys::fd::standard_streams();
    let own_group = rustix::process::setpgid(None, None).is_ok();
    if own_group {
        // Without a terminal there is no foreground. SIGTTOU is blocked still, so this does not stop us.
        let _ = tcsetpgrp(terminal, rustix::process::getpid());
    }
    let _ = sys::signal::unblock_all();
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    fail(&format!("exec {} failed: {error}", program.display()), code)
}

/// Forwards signals until the program ended.
fn serve(child: i32) -> i32 {
    loop {
        match sys::signal::wait() {
            Ok(libc::SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return code;
                }
            }
            Ok(signal) => {
                let _ = sys::signal::send(child, signal);
            }
            Err(_) => {}
        }
    }
}

/// Reaps all that ended; the exit code if the program is among them.
fn reap(child: i32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            code = Some(code_of(status));
        }
    }
    code
}

/// The exit code as a shell tells it.
fn code_of(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128i32.saturating_add(signal),
        (None, None) => 255,
    }
}

fn fail(message: &str, code: i32) -> i32 {
    eprintln!("docker-init: {message}");
    code
}
