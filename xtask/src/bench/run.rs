//! From nothing to a machine that is ready, a container of an image that is there, and a program in one that runs: the
//! emulated machine against docker.io in a guest with the same kernel, emulated processor, memory and number of processors.
//!
//! Ours is measured from the start of the service to the end of `sampan machine start`, so that the service, the
//! client, the machine's process and QEMU start too. dockerd is measured from the start of its QEMU: in a Debian that boots
//! itself, and started by a PID 1 that does nothing else.

use std::time::Instant;

use anyhow::Result;

use super::docker::{self, MEMORY_MIB};
use super::guest::CPUS;
use super::ours::Ours;
use super::report::{Goal, Row, Unit};
use super::samples::Samples;
use super::{Bench, debian};
use crate::architecture::Architecture;

/// Of docker.io's time.
const MOST: f64 = 0.1;
/// Of docker.io's time for a daily command.
const MOST_DAILY: f64 = 0.5;

pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let debian = debian::measure(bench, arch)?;
    let docker = docker::measure(bench, arch)?;
    crate::run::step(&format!(
        "measuring sampan with an emulated {} machine",
        arch.docker()
    ));
    let ours = Ours::new(bench, arch, CPUS, MEMORY_MIB)?;
    let mut boots = Vec::new();
    for _ in 0..bench.runs {
        let begun = Instant::now();
        let _service = ours.service()?;
        ours.output(&["machine", "start"])?;
        boots.push(begun.elapsed().as_secs_f64());
    }
    let _service = ours.service()?;
    ours.load("hello-world", arch)?;
    // The first run reads the image and boots the machine.
    let hello = ["run", "--rm", "hello-world"];
    ours.seconds(&hello)?;
    let runs = (0..bench.runs)
        .map(|_| ours.seconds(&hello))
        .collect::<Result<Vec<_>>>()?;
    ours.load("alpine", arch)?;
    ours.output(&[
        "run",
        "--detach",
        "--network=none",
        "--name=day",
        "alpine",
        "sleep",
        "86400",
    ])?;
    let execs = (0..bench.runs)
        .map(|_| ours.seconds(&["exec", "day", "true"]))
        .collect::<Result<Vec<_>>>()?;
    let row = |what, ours: &Samples, baseline, docker: &Samples| {
        Row::of(what, arch, Unit::Seconds, ours).against(baseline, docker)
    };
    let boots = Samples::new(boots)?;
    let alone = Samples::new(vec![docker.ready])?;
    let (runs, execs) = (Samples::new(runs)?, Samples::new(execs)?);
    Ok(vec![
        row(
            "emulated: start to ready",
            &boots,
            "Debian with docker.io",
            &debian,
        )
        .goal(Goal::MostTimes(MOST)),
        row(
            "emulated: start to ready",
            &boots,
            "dockerd as PID 1's child",
            &alone,
        ),
        row(
            "emulated: run --rm hello-world",
            &runs,
            "docker run --rm",
            &docker.run,
        )
        .goal(Goal::MostTimes(MOST)),
        row("emulated: exec true", &execs, "docker exec", &docker.exec).goal(Goal::MostTimes(MOST_DAILY)),
    ])
}
