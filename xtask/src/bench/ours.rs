//! A `sampan` with a home folder of its own, for as long as this lives.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::architecture::Architecture;
use crate::{images, publish, run};

/// What the service says when clients can connect.
const READY: &str = "ready";

pub(super) struct Ours {
    program: PathBuf,
    share: PathBuf,
    home: PathBuf,
}

/// A running service. It ends, with its machines, when this is dropped.
pub(super) struct Service(Child);

impl Ours {
    /// Nothing runs yet.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn new(bench: &Bench, arch: Architecture, cpus: u32, memory_mib: u32) -> Result<Self> {
        // The path of a Unix socket has room for 107 bytes.
        let home = std::env::temp_dir().join(format!("sampan-bench-{}", std::process::id()));
        publish::remove(&home)?;
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let settings = format!(
            "architecture = \"{}\"\nacceleration = \"tcg\"\ncpus = {cpus}\nmemory = \"{memory_mib}m\"\n",
            arch.docker()
        );
        fs::write(home.join("config.toml"), settings)?;
        Ok(Self {
            program: bench.dist.join("bin/sampan"),
            share: bench.dist.join("share/sampan"),
            home,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("SAMPAN_HOME", &self.home)
            .env("SAMPAN_SHARE", &self.share)
            .env_remove("SAMPAN_HOST")
            .env_remove("DOCKER_HOST");
        command
    }

    /// Starts the service and returns when clients can connect.
    ///
    /// # Errors
    /// When it does not start, with what it said.
    pub(super) fn service(&self) -> Result<Service> {
        let log = fs::File::create(self.home.join("service.log"))?;
        let mut child = self
            .command(&["service", "--detached"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let stdout = child.stdout.take().context("the output of the service")?;
        let service = Service(child);
        let mut said = String::new();
        BufReader::new(stdout).read_line(&mut said)?;
        if said.trim() != READY {
            bail!("the service did not start: {said}");
        }
        Ok(service)
    }

    /// What `sampan` writes to standard output.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        run::output(&mut self.command(arguments))
    }

    /// Seconds from the client's start to its exit.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn seconds(&self, arguments: &[&str]) -> Result<f64> {
        let begun = Instant::now();
        self.output(arguments)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Loads one of our images for an architecture.
    ///
    /// # Errors
    /// When the image does not build or is not taken.
    pub(super) fn load(&self, name: &str, arch: Architecture) -> Result<()> {
        self.output(&["load", "--input", &self.archive(name, arch)?])?;
        Ok(())
    }

    /// Writes one of our images as `docker load` takes it, under the name `NAME:latest`, and returns the path.
    ///
    /// # Errors
    /// When the image does not build.
    pub(super) fn archive(&self, name: &str, arch: Architecture) -> Result<String> {
        let archive = self.home.join(format!("{name}-{}.tar", arch.docker()));
        if !archive.exists() {
            write_archive(name, arch, &archive)?;
        }
        Ok(archive.to_string_lossy().into_owned())
    }

    /// The home folder, by which its processes are known.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // A folder left behind in /tmp hurts nobody.
        let _ = publish::remove(&self.home);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It stops its machines on SIGTERM. Where that cannot be sent, its machines end with it.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// Writes an image of ours as `docker load` takes it, under the name `NAME:latest`.
///
/// # Errors
/// When the image does not build or skopeo fails.
pub(super) fn write_archive(name: &str, arch: Architecture, archive: &Path) -> Result<()> {
    let image = images::build(name)?;
    run::output(
        Command::new("skopeo")
            .args([
                "--insecure-policy",
                "--override-os",
                "linux",
                "--override-arch",
                arch.docker(),
                "copy",
            ])
            .arg(format!("oci:{}:latest", image.layout.display()))
            .arg(format!("docker-archive:{}:{name}:latest", archive.display())),
    )?;
    Ok(())
}
