//! The baseline of boot: a Debian that boots itself with systemd and has docker.io enabled, in a guest with the kernel and
//! the emulated processor of ours. There is as little in it as can be: no network to set up, no login, no first boot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::docker::MEMORY_MIB;
use super::samples::Samples;
use super::{Bench, docker, guest};
use crate::architecture::Architecture;
use crate::emulator::{Emulator, SUCCESS};
use crate::fingerprint::Fingerprint;
use crate::setup::debian::Release;
use crate::setup::unpacked;
use crate::{paths, run};

/// What makes a Debian around docker.io that boots.
const PACKAGES: &[&str] = &["bash", "coreutils", "dbus", "systemd-sysv", "udev"];
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What the scripts of the packages would have made, or an installer: no more than Debian needs to boot to the end.
const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:101::/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "etc/group",
        "root:x:0:\ntty:x:5:\ndisk:x:6:\nkmem:x:15:\ndialout:x:20:\naudio:x:29:\nvideo:x:44:\ninput:x:104:\n\
         kvm:x:105:\nrender:x:106:\nsgx:x:107:\ncdrom:x:24:\ntape:x:26:\nlp:x:7:\nclock:x:108:\nutmp:x:43:\n\
         messagebus:x:101:\nsystemd-journal:x:102:\ndocker:x:103:\n",
    ),
    ("etc/machine-id", "5a3b6d1c0f8e4a7292b1c4d5e6f70819\n"),
    ("etc/hostname", "debian\n"),
    ("etc/fstab", "/dev/vda / ext4 defaults 0 0\n"),
    // As in the guest that is measured without systemd: what sampan's containers are given as well.
    (
        "etc/docker/daemon.json",
        r#"{"bridge":"none","ip-forward":false,"ip-masq":false,"ip6tables":false,"iptables":false,"storage-driver":"overlay2"}"#,
    ),
    (
        "etc/systemd/system/bench.service",
        "[Unit]\nDescription=Tells that dockerd is ready\nRequires=docker.service\nAfter=docker.service\n\n\
         [Service]\nType=oneshot\nEnvironment=BENCH=debian-ready\nExecStart=/bench-guest\nStandardOutput=file:/dev/console\n",
    ),
];
const LINKS: &[(&str, &str)] = &[
    (
        "etc/systemd/system/default.target",
        "/usr/lib/systemd/system/multi-user.target",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/containerd.service",
        "/usr/lib/systemd/system/containerd.service",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/docker.service",
        "/usr/lib/systemd/system/docker.service",
    ),
    (
        "etc/systemd/system/sockets.target.wants/docker.socket",
        "/usr/lib/systemd/system/docker.socket",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/bench.service",
        "../bench.service",
    ),
];

/// Seconds from the start of QEMU until dockerd listens, of each boot.
///
/// # Errors
/// When a package cannot be had, or Debian does not boot to the end.
pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Samples> {
    // A terminal that is asked for its size, and does not answer, would be waited for; what only a first boot does, an
    // installed Debian has behind it.
    let words = [
        "BENCH=debian",
        "TERM=dumb",
        "systemd.show_status=0",
        "systemd.condition_needs_update=0",
    ];
    let words = words.map(str::to_owned).to_vec();
    let machine = Emulator {
        disk: Some(disk(arch)?),
        ..guest::machine(bench, arch, MEMORY_MIB, words, PATIENCE)?
    };
    run::step(&format!(
        "measuring how soon an {} Debian has docker.io ready",
        arch.docker()
    ));
    let mut ready = Vec::new();
    for _ in 0..bench.runs {
        let result = machine.run(PATIENCE, |at, line| match line {
            "bench: docker-ready" => ready.push(at.as_secs_f64()),
            line => eprintln!("    {line}"),
        })?;
        if result != SUCCESS {
            bail!("Debian does not boot: {result}");
        }
    }
    Samples::new(ready)
}

/// The root file system.
fn disk(arch: Architecture) -> Result<PathBuf> {
    let packages = [docker::PACKAGES, PACKAGES].concat();
    let packages = unpacked::unpack("debian-guest", Release::Trixie, &packages, docker::WITHOUT, arch)?;
    let program = guest::program(arch)?;
    let mut fingerprint = Fingerprint::new("debian guest 1");
    fingerprint.add(packages.to_string_lossy().as_bytes());
    fingerprint.add_path(&program)?;
    for (path, content) in FILES.iter().chain(LINKS) {
        fingerprint.add(path);
        fingerprint.add(content);
    }
    let disk = paths::cache()
        .join("debian")
        .join(format!("debian-guest-{}.ext4", fingerprint.finish()));
    docker::make_disk(&disk, &packages, |root| fill(root, &program))
}

fn fill(root: &Path, program: &Path) -> Result<()> {
    let place = |path: &str| {
        let path = root.join(path);
        let parent = path.parent().unwrap_or(root);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        // A file of a package is a link to the cache's.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok::<_, anyhow::Error>(path),
        }
    };
    for (path, content) in FILES {
        fs::write(place(path)?, content)?;
    }
    for (path, target) in LINKS {
        symlink(target, place(path)?)?;
    }
    fs::copy(program, place("bench-guest")?)?;
    Ok(())
}
