//! Licences, duplicates and origins of the dependencies, as `deny.toml` allows them.

use std::process::Command;

use anyhow::Result;

use crate::setup::tools;
use crate::{e2e, paths, run};

/// Runs `cargo deny` but for its advisories, which it would have to fetch.
///
/// # Errors
/// When a dependency is not allowed.
pub fn check() -> Result<()> {
    let deny = tools::DENY.get()?;
    run::step("checking licences and origins of the dependencies");
    for workspace in [".", e2e::TESTCONTAINERS_FOLDER] {
        let checkout = paths::checkout();
        run::run(
            Command::new(&deny)
                .current_dir(checkout.join(workspace))
                .args(["--log-level", "error", "--all-features", "--config"])
                .arg(checkout.join("deny.toml"))
                .args(["check", "bans", "licenses", "sources"]),
        )?;
    }
    Ok(())
}
