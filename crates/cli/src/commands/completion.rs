//! `completion`: a script for a shell.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::{Failure, Result};
use crate::output::print;

pub(crate) fn run(shell: Shell) -> Result<()> {
    print(&script(shell)?)
}

fn script(shell: Shell) -> Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut for_people(), "sampan", &mut script);
    String::from_utf8(script).map_err(|error| Failure::new(error.to_string()))
}

/// The commands without those that only `sampan` itself runs: not every shell's generator leaves them out.
fn for_people() -> Command {
    let all = Arguments::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("sampan")
        .subcommands(shown.cloned().collect::<Vec<_>>())
        .args(all.get_arguments().cloned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Shell::Bash, "complete -F _sampan", "--detach-keys")]
    #[case(Shell::Zsh, "#compdef sampan", "--detach-keys")]
    #[case(Shell::Fish, "complete -c sampan", "-l detach-keys")]
    #[case(
        Shell::PowerShell,
        "Register-ArgumentCompleter -Native -CommandName 'sampan'",
        "--detach-keys"
    )]
    fn a_shell_gets_a_script_that_knows_commands_and_flags(
        #[case] shell: Shell,
        #[case] registers: &str,
        #[case] flag: &str,
    ) {
        let script = script(shell).unwrap();
        assert!(script.contains(registers), "{shell} is not told what to complete");
        for known in ["container", "doctor", flag] {
            assert!(script.contains(known), "{shell} does not know {known}");
        }
        assert!(!script.contains("vmm"), "{shell} offers what is not for people");
    }
}
