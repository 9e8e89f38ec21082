//! What is loaded into every machine, and what a user downloads.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Bench;
use super::report::{Goal, Row, Unit};
use crate::architecture::Architecture;

/// Of PID 1; the archive around it is a few hundred bytes.
const MOST_INIT_MIB: f64 = 4.0;
/// Of the uncompressed kernel on arm64.
const MOST_KERNEL_MIB: f64 = 12.0;

pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let row = |what: &str, path: &Path| {
        Ok::<_, anyhow::Error>(Row::alone(what, arch, Unit::Mebibytes, size(path)?))
    };
    let kernel = row("size of the kernel", &bench.kernel(arch))?;
    let kernel = match arch {
        Architecture::Arm64 => kernel.goal(Goal::Most(MOST_KERNEL_MIB)),
        Architecture::Amd64 => kernel,
    };
    let init = row("size of init, as initramfs", &bench.initramfs(arch))?.goal(Goal::Most(MOST_INIT_MIB));
    let mut rows = vec![kernel, init];
    if arch == Architecture::of_host()? {
        rows.push(row("size of sampan", &bench.dist.join("bin/sampan"))?);
    }
    Ok(rows)
}

/// In MiB.
fn size(path: &Path) -> Result<f64> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(metadata.len() as f64 / f64::from(1 << 20))
}
