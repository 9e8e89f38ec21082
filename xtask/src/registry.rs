//! A true registry on loopback: Debian's `docker-registry` (the Distribution project's server), with images pushed
//! by `skopeo`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run;
use crate::setup::machine;

/// A running registry. It ends when this is dropped; what was pushed stays in its storage.
pub struct Registry {
    server: Child,
    port: u16,
}

impl Registry {
    /// Starts a registry that keeps what it is given in `storage`, on a free port of 127.0.0.1. Returns when it
    /// accepts connections.
    ///
    /// # Errors
    /// When it cannot be installed or started.
    pub fn start(storage: &Path) -> Result<Self> {
        machine::install(machine::IMAGES)?;
        // Another program may take the port in between; then the server says so and another is tried.
        let mut last = None;
        for _ in 0..3 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            match Self::start_at(storage, port) {
                Ok(registry) => return Ok(registry),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no attempt was made")?)
    }

    /// Starts a registry on this port.
    ///
    /// # Errors
    /// As [`Registry::start`], and when the port is taken.
    pub fn start_at(storage: &Path, port: u16) -> Result<Self> {
        fs::create_dir_all(storage).with_context(|| format!("cannot create {}", storage.display()))?;
        let configuration = storage.join("config.yml");
        fs::write(&configuration, configuration_text(storage, port)?)?;
        let mut server = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start docker-registry: install Debian's package of that name")?;
        let log = server.stderr.take().context("the log of docker-registry")?;
        let mut registry = Self { server, port };
        if let Err(said) = run::wait_for_line(log, "listening on", &storage.join("registry.log")) {
            let status = registry.server.wait()?;
            bail!("docker-registry did not start on port {port} ({status}):\n{said}");
        }
        Ok(registry)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Pushes all platforms of the image `tag` in the OCI layout at `layout` as `repository:tag`.
    ///
    /// # Errors
    /// When skopeo fails.
    pub fn push(&self, layout: &Path, repository: &str, tag: &str) -> Result<()> {
        run::output(
            Command::new("skopeo")
                .args([
                    "--insecure-policy",
                    "copy",
                    "--all",
                    "--quiet",
                    "--dest-tls-verify=false",
                ])
                .arg(format!("oci:{}:{tag}", layout.display()))
                .arg(format!("docker://{}/{repository}:{tag}", self.address())),
        )
        .with_context(|| format!("cannot push {repository}:{tag}"))?;
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // A server that has ended by itself is what is wanted here.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn configuration_text(storage: &Path, port: u16) -> Result<String> {
    // JSON is YAML, and quotes any path.
    Ok(serde_json::to_string(&serde_json::json!({
        "version": 0.1,
        "log": { "level": "info", "accesslog": { "disabled": true } },
        "storage": {
            "filesystem": { "rootdirectory": storage.join("data") },
            "delete": { "enabled": true },
            "maintenance": { "uploadpurging": { "enabled": false } },
        },
        "http": { "addr": format!("127.0.0.1:{port}") },
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_quotes_and_colons_survives_the_configuration() {
        let text = configuration_text(Path::new("/a: \"b\"\n"), 5000).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value["storage"]["filesystem"]["rootdirectory"],
            "/a: \"b\"\n/data"
        );
    }
}
