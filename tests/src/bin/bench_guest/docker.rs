//! docker.io as Debian ships it: how long dockerd takes to be ready, a `docker run` of an image that is there, and a
//! `docker exec` in a container that runs.
//!
//! The root file system on the first disk holds dockerd, containerd, runc, the client, `/hello-world.tar` and
//! `/alpine.tar`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{report, runs, system};

/// Without a network: what sampan's containers have as well.
const DAEMON: &[&str] = &[
    "--bridge=none",
    "--exec-opt=native.cgroupdriver=cgroupfs",
    "--ip-forward=false",
    "--ip-masq=false",
    "--ip6tables=false",
    "--iptables=false",
    "--storage-driver=overlay2",
];
const RUN: &[&str] = &["run", "--rm", "--network=none", "hello-world"];
const DAY: &[&str] = &[
    "run",
    "--detach",
    "--network=none",
    "--name=day",
    "alpine",
    "sleep",
    "86400",
];
const LOG: &str = "/tmp/dockerd.log";

pub(crate) fn measure() -> Result<()> {
    let root = Path::new("/root");
    system::mount_one("devtmpfs", Path::new("/dev"), "devtmpfs", "")?;
    system::mount_one("/dev/vda", root, "ext4", "")?;
    system::mount_pseudo(root)?;
    system::mount_one("cgroup2", &root.join("sys/fs/cgroup"), "cgroup2", "")?;
    system::switch_root(root)?;
    let mut daemon = start()?;
    println!("bench: docker-ready");
    let result = measure_clients();
    if result.is_err() {
        let _ = std::io::stdout().write_all(&std::fs::read(LOG).unwrap_or_default());
    }
    daemon.kill()?;
    daemon.wait()?;
    result
}

fn measure_clients() -> Result<()> {
    docker(&["load", "--input", "/hello-world.tar"])?;
    // The first run has everything to read from the disk.
    docker(RUN)?;
    for _ in 0..runs() {
        let begun = Instant::now();
        docker(RUN)?;
        report("docker-run", begun.elapsed().as_secs_f64());
    }
    docker(&["load", "--input", "/alpine.tar"])?;
    docker(DAY)?;
    for _ in 0..runs() {
        let begun = Instant::now();
        docker(&["exec", "day", "true"])?;
        report("docker-exec", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

fn docker(arguments: &[&str]) -> Result<()> {
    let output = Command::new("/usr/bin/docker")
        .args(arguments)
        .env("HOME", "/tmp")
        .output()?;
    if !output.status.success() {
        bail!(
            "docker {arguments:?} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Starts dockerd and returns when it says that it listens.
fn start() -> Result<Child> {
    let mut daemon = Command::new("/usr/sbin/dockerd")
        .args(DAEMON)
        .env("PATH", "/usr/sbin:/usr/bin")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start dockerd")?;
    let mut lines = BufReader::new(daemon.stderr.take().context("the log of dockerd")?);
    let mut said = String::new();
    loop {
        let begin = said.len();
        if lines.read_line(&mut said)? == 0 {
            bail!("dockerd ended ({}):\n{said}", daemon.wait()?);
        }
        if said
            .get(begin..)
            .is_some_and(|line| line.contains("API listen on"))
        {
            break;
        }
    }
    let mut log = File::create(LOG)?;
    log.write_all(said.as_bytes())?;
    std::thread::spawn(move || std::io::copy(&mut lines, &mut log));
    Ok(daemon)
}
