//! The engine's behaviour without a hypervisor: the test program itself plays the machine (`machine` mode),
//! as a real child process with real sockets that speaks the control contract and the guest protocol, and the
//! service that is killed (`service` mode).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test program: what panics is a failed test"
)]

#[cfg(unix)]
mod containers;
#[cfg(unix)]
mod execs;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod harness;
#[cfg(unix)]
mod images;
#[cfg(unix)]
mod machine;
#[cfg(unix)]
mod networks;
#[cfg(unix)]
mod restarts;
#[cfg(unix)]
mod sizes;
#[cfg(unix)]
mod streams;
#[cfg(unix)]
mod volumes;

#[cfg(unix)]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("machine") => machine::run(),
        Some("service") => harness::service(&arguments[2]),
        _ => {
            let trials = [
                containers::trials(),
                streams::trials(),
                execs::trials(),
                files::trials(),
                images::trials(),
                faults::trials(),
                volumes::trials(),
                networks::trials(),
                restarts::trials(),
                sizes::trials(),
            ];
            libtest_mimic::run(
                &libtest_mimic::Arguments::from_args(),
                trials.into_iter().flatten().collect(),
            )
            .exit();
        }
    }
}

#[cfg(not(unix))]
fn main() {}
