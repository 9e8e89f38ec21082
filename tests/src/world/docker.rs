//! The `docker` command against a world's service.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{Output, World};

/// Debian's `docker` with its own folder of settings, in which `docker compose` is a plugin.
pub struct Docker<'a> {
    world: &'a World,
    config: tempfile::TempDir,
}

impl World {
    /// The `docker` command; a service that does not run yet is started for it.
    pub fn docker(&self) -> Docker<'_> {
        self.ok(["version"]);
        let config = tempfile::Builder::new().prefix("docker").tempdir().unwrap();
        let plugins = config.path().join("cli-plugins");
        fs::create_dir(&plugins).unwrap();
        let folder = self
            .kind()
            .docker
            .as_ref()
            .expect("SAMPAN_E2E_DOCKER names the folder");
        let compose = folder.join("usr/libexec/docker/cli-plugins/docker-compose");
        std::os::unix::fs::symlink(compose, plugins.join("docker-compose")).unwrap();
        Docker { world: self, config }
    }
}

impl Docker<'_> {
    /// The folder of its settings and contexts.
    pub fn config(&self) -> &std::path::Path {
        self.config.path()
    }

    /// Runs `docker` with these arguments, on no engine in particular.
    pub fn run_alone<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Output {
        let folder = self.world.kind().docker.as_ref().unwrap();
        let mut command = Command::new(folder.join("usr/bin/docker"));
        command
            .arg("--config")
            .arg(self.config.path())
            .args(arguments)
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null());
        Output::of(&mut command)
    }

    fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let folder = self.world.kind().docker.as_ref().unwrap();
        let mut command = Command::new(folder.join("usr/bin/docker"));
        command
            .arg("--config")
            .arg(self.config.path())
            .arg("--host")
            .arg(format!(
                "unix://{}",
                self.world.home().join("sampan.sock").display()
            ))
            .args(arguments)
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT");
        command
    }

    /// Runs `docker` with these arguments and no input, to its end.
    pub fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null());
        Output::of(&mut command)
    }

    /// The same with an input.
    pub fn run_with_input<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I, input: &str) -> Output {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut command = self.command(arguments);
        command.stdin(file);
        Output::of(&mut command)
    }
}
