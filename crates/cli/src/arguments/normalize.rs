//! Switches with a value: Docker takes `--rm=false`, where the parser's switches stand alone. They are rewritten
//! before parsing, as far as the flags reach; what belongs to a container's command is left alone.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// Turns `--switch=true` into `--switch` and takes `--switch=false` out.
pub(super) fn switches(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut current = command;
    let mut rewritten = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter();
    rewritten.extend(rest.next());
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else {
            rewritten.push(argument);
            continue;
        };
        if text == "--" {
            rewritten.push(argument);
            break;
        }
        if let Some(flag) = text.strip_prefix("--") {
            let (name, value) = flag
                .split_once('=')
                .map_or((flag, None), |(name, value)| (name, Some(value)));
            let known = current
                .get_arguments()
                .find(|known| known.get_long() == Some(name));
            match (known, value.map(truth)) {
                (Some(known), Some(Some(on))) if is_switch(known) => {
                    if on {
                        rewritten.push(OsString::from(format!("--{name}")));
                    }
                }
                (Some(known), None) if takes_value(known) => {
                    rewritten.push(argument);
                    rewritten.extend(rest.next());
                }
                _ => rewritten.push(argument),
            }
        } else if let Some(cluster) = text.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            let value_follows = last_takes_value(current, cluster);
            rewritten.push(argument);
            if value_follows {
                rewritten.extend(rest.next());
            }
        } else if let Some(subcommand) = current.find_subcommand(text) {
            current = subcommand;
            rewritten.push(argument);
        } else {
            rewritten.push(argument);
            let runs_a_command = current.get_positionals().any(Arg::is_trailing_var_arg_set);
            if runs_a_command {
                break;
            }
        }
    }
    rewritten.extend(rest);
    rewritten
}

fn is_switch(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::SetTrue)
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values() && !argument.is_require_equals_set()
}

fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether a cluster such as `-itv` ends in a flag whose value is the next argument.
fn last_takes_value(command: &Command, cluster: &str) -> bool {
    let mut letters = cluster.chars();
    while let Some(letter) = letters.next() {
        let known = command
            .get_arguments()
            .find(|known| known.get_short() == Some(letter));
        if known.is_some_and(takes_value) {
            return letters.as_str().is_empty();
        }
    }
    false
}
