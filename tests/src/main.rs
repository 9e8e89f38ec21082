//! The end-to-end tests: a real service, a real machine, real images from a real registry.
//!
//! Each scenario is written once. Which kind of machine it meets is told by the environment, so that the same
//! program runs here on the emulated machine and, linked statically, inside a virtual laptop on KVM:
//!
//! - `SAMPAN_E2E_ARCH`: `amd64` or `arm64`; the host's own by default.
//! - `SAMPAN_E2E_ACCEL`: `auto`, `kvm` or `tcg`; `auto` by default.
//! - `SAMPAN_E2E_BIN`: the `sampan` program; beside this one by default.
//! - `SAMPAN_E2E_IMAGES`: a folder of OCI layouts, one for each image.
//! - `SAMPAN_E2E_DOCKER`, `SAMPAN_E2E_PYTHON`, `SAMPAN_E2E_TESTCONTAINERS`: clients that were not written here;
//!   without one its scenarios are left out.
//! - `SAMPAN_E2E_FILTERS`: only the scenarios whose names contain one of these, separated by commas.
//! - `SAMPAN_SHARE`: the kernels and initramfs images.
//!
//! The scenarios share one service and one machine, except those that break it. Arguments are those of a Rust
//! test program: a filter, `--list`, `--test-threads`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(
    unreachable_pub,
    reason = "a program has no outside; `pub` marks what a module offers to the others"
)]

mod laptop;
mod scenarios;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    if laptop::is_here() {
        return laptop::run();
    }
    scenarios::print_logs_of_failures();
    let arguments = libtest_mimic::Arguments::from_args();
    let shared = world::Shared::default();
    let mut scenarios = scenarios::all(&shared);
    let filters = std::env::var("SAMPAN_E2E_FILTERS").unwrap_or_default();
    if !filters.is_empty() {
        scenarios.retain(|scenario| filters.split(',').any(|filter| scenario.name().contains(filter)));
    }
    // What passed in a laptop before; none where there was none.
    let passed = std::env::var("SAMPAN_E2E_PASSED").map(std::fs::read_to_string);
    let passed = passed.ok().and_then(Result::ok).unwrap_or_default();
    scenarios.retain(|scenario| !passed.lines().any(|name| name == scenario.name()));
    let conclusion = libtest_mimic::run(&arguments, scenarios);
    shared.stop();
    conclusion.exit_code()
}
