//! `completion`: a script for a shell.

use clap::CommandFactory;

use crate::arguments::Arguments;
use crate::failure::{Failure, Result};
use crate::output::print;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sampan", &mut script);
    print(&String::from_utf8(script).map_err(|error| Failure::new(error.to_string()))?)
}
