//! Licences, duplicates and origins of the dependencies, as `deny.toml` allows them.

use std::process::Command;

use anyhow::Result;

use crate::setup::tools;
use crate::{paths, run};

/// Runs `cargo deny` but for its advisories, which it would have to fetch.
///
/// # Errors
/// When a dependency is not allowed.
pub fn check() -> Result<()> {
    let deny = tools::DENY.get()?;
    run::step("checking licences and origins of the dependencies");
    run::run(Command::new(deny).current_dir(paths::checkout()).args([
        "--log-level",
        "error",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
