//! The baseline of boot, run and exec: Debian's docker.io in a guest with the kernel and the emulated processor of
//! ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::samples::Samples;
use super::{Bench, guest, ours};
use crate::architecture::Architecture;
use crate::emulator::{Emulator, SUCCESS};
use crate::setup::debian::Release;
use crate::setup::unpacked;
use crate::{images, paths, publish, run};

/// The memory of both machines.
pub(super) const MEMORY_MIB: u32 = 2048;

/// docker.io with what a Debian has that runs it.
pub(super) const PACKAGES: &[&str] = &[
    "base-files",
    "containerd",
    "docker-cli",
    "docker.io",
    "runc",
    "tini",
];
/// What only the set-up of an installation needs, or a network.
pub(super) const WITHOUT: &[&str] = &[
    "adduser",
    "iptables",
    "sysvinit-utils",
    "awk",
    "debconf",
    "debconf-2.0",
];
/// Those that containers are made of.
const IMAGES: &[&str] = &["hello-world", "alpine"];
const DISK_BYTES: u64 = 4 << 30;
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What docker.io took, in seconds.
pub(super) struct Docker {
    /// From the start of QEMU until dockerd listens.
    pub(super) ready: f64,
    /// `docker run --rm hello-world`.
    pub(super) run: Samples,
    /// `docker exec CONTAINER true`.
    pub(super) exec: Samples,
}

/// docker.io and all that it needs, unpacked.
///
/// # Errors
/// When a package cannot be had.
pub(super) fn packages(arch: Architecture) -> Result<PathBuf> {
    unpacked::unpack("docker", Release::Trixie, PACKAGES, WITHOUT, arch)
}

/// Boots the guest and measures.
pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Docker> {
    let words = vec!["BENCH=docker".to_owned(), format!("BENCH_RUNS={}", bench.runs)];
    let machine = Emulator {
        disk: Some(disk(arch)?),
        ..guest::machine(bench, arch, MEMORY_MIB, words, PATIENCE)?
    };
    run::step(&format!("measuring docker.io in an {} guest", arch.docker()));
    let (mut ready, mut run, mut exec) = (None, Vec::new(), Vec::new());
    let result = machine.run(PATIENCE, |at, line| match line.strip_prefix("bench: ") {
        Some("docker-ready") => ready = Some(at.as_secs_f64()),
        Some(figure) => {
            let value = |name| {
                figure
                    .strip_prefix(name)
                    .and_then(|value| value.parse::<f64>().ok())
            };
            run.extend(value("docker-run "));
            exec.extend(value("docker-exec "));
        }
        None => eprintln!("    {line}"),
    })?;
    if result != SUCCESS {
        bail!("docker.io cannot be measured: {result}");
    }
    Ok(Docker {
        ready: ready.context("dockerd was never ready")?,
        run: Samples::new(run)?,
        exec: Samples::new(exec)?,
    })
}

/// The root file system: docker.io, all that it needs, and the images.
fn disk(arch: Architecture) -> Result<PathBuf> {
    let packages = packages(arch)?;
    let images = IMAGES
        .iter()
        .map(|name| images::build(name))
        .collect::<Result<Vec<_>>>()?;
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let holds: Vec<_> = std::iter::once(name(&packages))
        .chain(images.iter().map(|image| name(&image.layout)))
        .collect();
    let disk = paths::cache()
        .join("debian")
        .join(format!("{}.ext4", holds.join("-")));
    make_disk(&disk, &packages, |root| {
        for name in IMAGES {
            ours::write_archive(name, arch, &root.join(format!("{name}.tar")))?;
        }
        Ok(())
    })
}

/// Makes a disk unless it is there: the packages, and what `fill` adds to them in the folder that it is given. Its files
/// are links to those of the packages.
///
/// # Errors
/// Those of `fill`, and when a program fails.
pub(super) fn make_disk(disk: &Path, packages: &Path, fill: impl Fn(&Path) -> Result<()>) -> Result<PathBuf> {
    publish::once(disk, |draft| {
        let root = draft.with_extension("root");
        publish::remove(&root)?;
        run::run(
            Command::new("cp")
                .args(["--archive", "--link"])
                .arg(packages)
                .arg(&root),
        )?;
        fill(&root)?;
        fs::File::create(draft)?.set_len(DISK_BYTES)?;
        run::output(
            Command::new("mke2fs")
                .args(["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d"])
                .arg(&root)
                .arg(draft),
        )?;
        publish::remove(&root)
    })
}
