//! What is not understood, told in Docker's form: the fault, the usage, and the way to the help.

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error};

use super::Arguments;
use crate::failure::{Failure, NO_CONTAINER};

/// The failure that a parser's error means. Help and version are printed to stdout and are no error.
pub(super) fn failure(error: &Error, arguments: &[OsString]) -> Failure {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let text = if std::io::stdout().is_terminal() {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        return match crate::output::print(&text) {
            Ok(()) => Failure {
                message: String::new(),
                code: 0,
            },
            Err(failure) => failure,
        };
    }
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    ) {
        return Failure::new(Arguments::command().render_help().to_string().trim_end());
    }
    let (path, usage) = named_command(arguments);
    let name = path.strip_prefix("sampan ").unwrap_or_default();
    if error.kind() == ErrorKind::InvalidSubcommand {
        let word = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
        return Failure::new(format!(
            "sampan: unknown command: {path} {word}\n\nRun '{path} --help' for more information"
        ));
    }
    let invalid = context(error, ContextKind::InvalidArg);
    let (fault, code) = match (error.kind(), invalid) {
        (ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues, _) => {
            let needs = requirement(name);
            let message = format!(
                "sampan: '{path}' requires {needs}\n\nUsage:  {usage}\n\nSee '{path} --help' for more information"
            );
            return Failure::new(message);
        }
        (ErrorKind::UnknownArgument, Some(word)) => match word.strip_prefix('-') {
            Some(flag) if flag.starts_with('-') => (format!("unknown flag: {word}"), NO_CONTAINER),
            Some(flag) => {
                let letter = flag.chars().next().unwrap_or('-');
                (
                    format!("unknown shorthand flag: '{letter}' in -{flag}"),
                    NO_CONTAINER,
                )
            }
            None if usage.ends_with("[OPTIONS]") => (format!("sampan: '{path}' accepts no arguments"), 1),
            None => (format!("sampan: '{path}' requires {}", requirement(name)), 1),
        },
        _ => (plain(error), NO_CONTAINER),
    };
    Failure {
        message: format!("{fault}\n\nUsage:  {usage}\n\nRun '{path} --help' for more information"),
        code,
    }
}

fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// The parser's own words, on one line.
fn plain(error: &Error) -> String {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

/// The command that the arguments name, and its usage.
fn named_command(arguments: &[OsString]) -> (String, String) {
    let root = Arguments::command();
    let mut command = &root;
    let mut path = "sampan".to_owned();
    for word in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(found) = command.find_subcommand(word) {
            command = found;
            path.push(' ');
            path.push_str(found.get_name());
        } else if !word.starts_with('-') && !path.ends_with("sampan") {
            break;
        }
    }
    let usage = command.clone().render_usage().to_string();
    (path, usage.trim_start_matches("Usage: ").trim().to_owned())
}

/// How many arguments a command needs, in Docker's words.
fn requirement(command: &str) -> &'static str {
    match command {
        "context create" | "context update" | "context use" => return "1 argument",
        "context import" => return "2 arguments",
        "context export" => return "at least 1 and at most 2 arguments",
        _ => {}
    }
    let command = command.rsplit(' ').next().unwrap_or_default();
    match command {
        "exec" => "at least 2 arguments",
        "rename" | "cp" | "tag" | "connect" | "disconnect" => "2 arguments",
        "logs" | "attach" | "pull" | "push" | "completion" | "manual" | "history" | "diff" | "export"
        | "search" => "1 argument",
        "images" | "ls" | "login" | "logout" => "at most 1 argument",
        _ => "at least 1 argument",
    }
}
