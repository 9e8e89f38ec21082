//! Debian's docker.io on this computer: the baseline of what sampan does on its host.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::docker;
use crate::architecture::Architecture;
use crate::{publish, run};

/// A dockerd with data of its own. It ends, and its data is deleted, when this is dropped.
pub(super) struct Dockerd {
    daemon: Child,
    programs: PathBuf,
    home: PathBuf,
}

impl Dockerd {
    /// Starts it, without a network, and returns when clients can connect.
    ///
    /// # Errors
    /// When its packages cannot be had, or it does not start: it has to be root.
    pub(super) fn start() -> Result<Self> {
        let programs = docker::packages(Architecture::of_host()?)?;
        let home = std::env::temp_dir().join(format!("dockerd-bench-{}", std::process::id()));
        publish::remove(&home)?;
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        // Not the one of an installed Docker.
        fs::write(home.join("daemon.json"), "{}")?;
        let path = [&programs.join("usr/sbin"), &programs.join("usr/bin")].map(|folder| folder.clone());
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(path.into_iter().chain(std::env::split_paths(&inherited)))?;
        let mut daemon = Command::new(programs.join("usr/sbin/dockerd"))
            .args([
                "--bridge=none",
                "--ip-forward=false",
                "--ip-masq=false",
                "--ip6tables=false",
                "--iptables=false",
                "--storage-driver=overlay2",
            ])
            .arg(format!("--config-file={}", home.join("daemon.json").display()))
            .arg(format!("--data-root={}", home.join("data").display()))
            .arg(format!("--exec-root={}", home.join("exec").display()))
            .arg(format!("--pidfile={}", home.join("pid").display()))
            .arg(format!("--host=unix://{}", home.join("sock").display()))
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start dockerd")?;
        let log = daemon.stderr.take().context("the log of dockerd")?;
        let mut dockerd = Self {
            daemon,
            programs,
            home,
        };
        if let Err(said) = run::wait_for_line(log, "API listen on", &dockerd.home.join("log")) {
            let status = dockerd.daemon.wait()?;
            bail!("dockerd did not start, which only root can ({status}):\n{said}");
        }
        Ok(dockerd)
    }

    /// What the docker client writes to standard output.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        run::output(
            Command::new(self.programs.join("usr/bin/docker"))
                .args(arguments)
                .env(
                    "DOCKER_HOST",
                    format!("unix://{}", self.home.join("sock").display()),
                )
                .env("HOME", &self.home),
        )
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
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // It unmounts and ends its containerd on SIGTERM only.
        let asked = Command::new("kill").arg(self.daemon.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.daemon.kill();
        }
        let _ = self.daemon.wait();
        // A folder left behind in /tmp hurts nobody.
        let _ = publish::remove(&self.home);
    }
}
