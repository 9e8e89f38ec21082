//! The commands of every day that are answered on the host, from the client's start to its exit: `sampan` with its
//! service against the docker client with dockerd on this computer. What is done in a guest is compared in `run`.

use anyhow::Result;

use super::Bench;
use super::docker::MEMORY_MIB;
use super::dockerd::Dockerd;
use super::guest::CPUS;
use super::ours::Ours;
use super::report::{Goal, Row, Unit};
use super::samples::Samples;
use crate::architecture::Architecture;

/// What is typed, and how many times the baseline it may take.
const COMMANDS: &[(&[&str], f64)] = &[
    (&["ps"], 0.33),
    (&["images"], 0.5),
    (&["inspect", "day"], 0.5),
    (&["logs", "day"], 0.5),
];
/// A container with a short log that goes on running.
const DAY: &[&str] = &[
    "run",
    "--detach",
    "--network=none",
    "--name=day",
    "alpine",
    "sh",
    "-c",
    "for line in 1 2 3 4 5 6 7 8 9 10; do echo this is line $line; done; exec sleep 86400",
];
/// Such short times need more samples than the others.
const TIMES: u32 = 8;

pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let dockerd = Dockerd::start()?;
    let ours = Ours::new(bench, arch, CPUS, MEMORY_MIB)?;
    let _service = ours.service()?;
    ours.load("alpine", arch)?;
    ours.output(DAY)?;
    // The same programs, for the processor that dockerd has.
    dockerd.output(&[
        "load",
        "--input",
        &ours.archive("alpine", Architecture::of_host()?)?,
    ])?;
    dockerd.output(DAY)?;
    crate::run::step(&format!(
        "measuring daily commands with an {} machine",
        arch.docker()
    ));
    let mut rows = Vec::new();
    for &(words, most) in COMMANDS {
        let (mut own, mut baseline) = (Vec::new(), Vec::new());
        for _ in 0..bench.runs.saturating_mul(TIMES) {
            own.push(ours.seconds(words)?);
            baseline.push(dockerd.seconds(words)?);
        }
        let command = words.first().copied().unwrap_or_default();
        rows.push(
            Row::of(command, arch, Unit::Seconds, &Samples::new(own)?)
                .against(&format!("docker {command}"), &Samples::new(baseline)?)
                .goal(Goal::MostTimes(most)),
        );
    }
    // dockerd would wait for it at its own end.
    dockerd.output(&["rm", "--force", "day"])?;
    Ok(rows)
}
