//! The guest's side of the benchmarks: PID 1 of a Linux under an emulator, or the last unit of a Debian there.
//!
//! What to measure is in the environment, that is on the kernel's command line, as `BENCH`. Each figure is a line
//! `bench: NAME VALUE` on the console; `laptop: exit status: 0` is the last line when all went well.

mod debian;
mod docker;
mod kvm;
mod system;
mod vsock;

use anyhow::{Result, bail};

fn main() {
    match measure() {
        Ok(()) => println!("laptop: exit status: 0"),
        Err(error) => println!("laptop: {error:#}"),
    }
    // The kernel panics when PID 1 ends, which ends the emulator too.
    println!("{}", system::power_off());
}

fn measure() -> Result<()> {
    match std::env::var("BENCH").as_deref() {
        Ok("debian") => debian::boot(),
        Ok("debian-ready") => {
            println!("bench: docker-ready");
            Ok(())
        }
        Ok("docker") => docker::measure(),
        Ok("kvm") => kvm::measure(),
        Ok("vsock") => vsock::measure(),
        other => bail!("there is no benchmark {other:?}"),
    }
}

/// Tells a figure.
fn report(name: &str, value: f64) {
    println!("bench: {name} {value}");
}

/// How often each thing is measured: `BENCH_RUNS`, 5 by default.
fn runs() -> u32 {
    std::env::var("BENCH_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(5)
}
