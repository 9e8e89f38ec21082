//! Debian's docker.io on this computer: the baseline of what sampan does on its host.
//!
//! Its packages are of the release that the guests have, whose C library this computer need not have. So dockerd runs
//! with them as its root, in a mount namespace of its own (unshare(1), chroot(8)); the client, which is static enough,
//! runs outside, as sampan's does.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::docker;
use crate::architecture::Architecture;
use crate::{publish, run};

/// Makes `$1/root` the root of what follows, with `$1/data` in it.
const ENTER: &str = "mount --bind $1/root $1/root
cd $1/root
mkdir -p proc sys dev tmp run data
for folder in proc sys dev; do mount --rbind /$folder $folder; done
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mount --bind $1/data data
shift
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec chroot . \"$@\"";

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
        let data = home.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        // Not the one of an installed Docker.
        fs::write(data.join("daemon.json"), "{}")?;
        run::run(
            Command::new("cp")
                .args(["--archive", "--link"])
                .arg(&programs)
                .arg(home.join("root")),
        )?;
        let mut daemon = Command::new("unshare")
            .args(["--mount", "sh", "-e", "-c", ENTER, "sh"])
            .arg(&home)
            .args([
                "/usr/sbin/dockerd",
                "--bridge=none",
                "--ip-forward=false",
                "--ip-masq=false",
                "--ip6tables=false",
                "--iptables=false",
                "--storage-driver=overlay2",
                "--config-file=/data/daemon.json",
                "--data-root=/data/docker",
                "--exec-root=/data/exec",
                "--pidfile=/data/pid",
                "--host=unix:///data/sock",
            ])
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
                    format!("unix://{}", self.home.join("data/sock").display()),
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
