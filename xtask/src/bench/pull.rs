//! A pull of 200 MB in eight layers from a registry on loopback, until a container can be made of the image: ours,
//! which makes an EROFS image of each layer, against that of dockerd on this computer, which unpacks them.

use anyhow::Result;

use super::Bench;
use super::docker::MEMORY_MIB;
use super::dockerd::Dockerd;
use super::guest::CPUS;
use super::ours::Ours;
use super::report::{Goal, Row, Unit};
use super::samples::Samples;
use crate::architecture::Architecture;
use crate::images::synthetic;
use crate::paths;
use crate::registry::Registry;

const LAYERS: usize = 8;
const LAYER_BYTES: usize = 25_000_000;
/// Of dockerd's time.
const MOST: f64 = 0.5;

pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let image = synthetic::build(arch, LAYERS, LAYER_BYTES)?;
    let registry = Registry::start(&paths::cache().join("registry"))?;
    image.push(&registry)?;
    let name = format!("{}/library/{}", registry.address(), image.name);
    let dockerd = Dockerd::start()?;
    let ours = Ours::new(bench, arch, CPUS, MEMORY_MIB)?;
    let _service = ours.service()?;
    crate::run::step(&format!("pulling an image for {}", arch.docker()));
    let platform = format!("linux/{}", arch.docker());
    let pull = ["pull", "--platform", &platform, &name];
    let (mut own, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        own.push(ours.seconds(&pull)?);
        ours.output(&["rmi", &name])?;
        baseline.push(dockerd.seconds(&pull)?);
        dockerd.output(&["rmi", &name])?;
    }
    Ok(vec![
        Row::of(
            "pull of 200 MB in 8 layers",
            arch,
            Unit::Seconds,
            &Samples::new(own)?,
        )
        .against("docker pull", &Samples::new(baseline)?)
        .goal(Goal::MostTimes(MOST)),
    ])
}
