//! The benchmarks: every promise of speed and size that is made, measured together with what it is compared to.
//!
//! Nothing measured is kept from one run to the next: a baseline is worth something only under the same load. What is
//! run is the release build.

mod daily;
mod debian;
mod docker;
mod dockerd;
mod guest;
mod idle;
mod kvm;
mod ours;
mod pull;
mod report;
mod run;
mod samples;
mod sizes;
mod vsock;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::architecture::Architecture;
use crate::paths;
use report::Row;

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Point {
    /// What programs, kernel and initramfs weigh.
    Sizes,
    /// Boot, `run --rm hello-world` and `exec` on the emulated machine, against docker.io in one like it.
    Run,
    /// The commands of every day, against the docker client and dockerd.
    Daily,
    /// A pull of 200 MB from a registry on loopback, against dockerd's.
    Pull,
    /// Bytes and round trips over vsock, against vhost-device-vsock.
    Vsock,
    /// What an idle emulated machine costs in memory and wake-ups.
    Idle,
    /// Boot and memory on KVM, in an emulated laptop, against QEMU's own machine there.
    Kvm,
}

/// What is compared.
struct Bench {
    /// The distribution, as `share::dist` makes it.
    dist: PathBuf,
    /// How often each thing is measured.
    runs: u32,
}

impl Bench {
    /// The kernel of the machines.
    fn kernel(&self, arch: Architecture) -> PathBuf {
        self.dist
            .join("share/sampan")
            .join(format!("kernel-{}", arch.docker()))
    }

    /// The initramfs of the machines.
    fn initramfs(&self, arch: Architecture) -> PathBuf {
        self.dist
            .join("share/sampan")
            .join(format!("initramfs-{}", arch.docker()))
    }
}

/// Measures the distribution in the folder `dist` at `points` (all by default) for each architecture, prints the
/// figures as a table and writes `target/bench.json`.
///
/// # Errors
/// When something does not build, or a point could not be measured; the others are told all the same.
pub fn bench(dist: PathBuf, architectures: &[Architecture], points: &[Point], runs: u32) -> Result<()> {
    let points = if points.is_empty() {
        Point::value_variants()
    } else {
        points
    };
    let bench = Bench { dist, runs };
    let (mut rows, mut failures) = (Vec::<Row>::new(), Vec::new());
    for &point in points {
        for &arch in architectures {
            let measured = match point {
                Point::Sizes => sizes::measure(&bench, arch),
                Point::Run => run::measure(&bench, arch),
                Point::Daily => daily::measure(&bench, arch),
                Point::Pull => pull::measure(&bench, arch),
                Point::Vsock => vsock::measure(&bench, arch),
                Point::Idle => idle::measure(&bench, arch),
                Point::Kvm => kvm::measure(&bench, arch),
            };
            match measured {
                Ok(measured) => rows.extend(measured),
                Err(error) => failures.push(format!("{point:?} on {}: {error:#}", arch.docker())),
            }
        }
    }
    print!("{}", report::table(&rows));
    let path = paths::target().join("bench.json");
    report::write(&rows, &path)?;
    crate::run::step(&format!("the same with every sample is in {}", path.display()));
    if !failures.is_empty() {
        bail!("not measured:\n{}", failures.join("\n"));
    }
    Ok(())
}
