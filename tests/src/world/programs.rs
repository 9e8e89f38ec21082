//! Programs over other people's libraries, which find the world's service through their environment.

use std::process::{Command, Stdio};

use super::{Output, World};

impl World {
    /// Runs a function of a program over the Python SDK, to its end.
    pub fn python(&self, program: &str, function: &str) -> Output {
        let packages = self
            .kind()
            .python
            .as_ref()
            .expect("SAMPAN_E2E_PYTHON names the folder");
        let mut command = Command::new("python3");
        command
            .args(["-c", program, function])
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        self.finish(command)
    }

    /// Runs the program over Testcontainers, to its end.
    pub fn testcontainers(&self) -> Output {
        let program = self
            .kind()
            .testcontainers
            .as_ref()
            .expect("SAMPAN_E2E_TESTCONTAINERS names the program");
        self.finish(Command::new(program))
    }

    fn finish(&self, mut command: Command) -> Output {
        // A service that does not run yet is started for it.
        self.ok(["version"]);
        let socket = format!("unix://{}", self.home().join("sampan.sock").display());
        command
            .stdin(Stdio::null())
            .env("DOCKER_HOST", socket)
            .env("DOCKER_CONFIG", self.home().join("docker"))
            .env_remove("DOCKER_CONTEXT");
        Output::of(&mut command)
    }
}
