//! The registry that a world's images come from, served by threads of its own. The true registry server of the
//! demonstration has none of this one's faults.

use std::fs;
use std::path::Path;

pub use test_registry::{Auth, Faults, Image};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::running::PATIENCE;

/// A running registry.
pub struct Registry {
    server: test_registry::Registry,
    runtime: Runtime,
}

/// Layers are held back while this lives.
pub struct Held<'a> {
    held: test_registry::Held,
    runtime: &'a Runtime,
}

impl Registry {
    /// Serves the OCI layouts in the folders of `images` as `library/<folder>`.
    pub fn start(images: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(test_registry::Registry::start()).unwrap();
        for entry in fs::read_dir(images).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            server
                .put_layout(&format!("library/{name}"), &entry.path())
                .unwrap();
        }
        Self { server, runtime }
    }

    /// `127.0.0.1:PORT`, the first part of a name.
    pub fn domain(&self) -> String {
        self.server.domain()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.domain())
    }

    /// Serves an image made in memory as `library/<name>:latest`.
    pub fn put(&self, name: &str, image: Image) {
        self.server.put(&format!("library/{name}"), "latest", &[image]);
    }

    /// Asks clients who they are from now on.
    pub fn set_auth(&self, auth: Auth) {
        self.server.set_auth(auth);
    }

    /// Answers every search with this.
    pub fn put_search(&self, answer: &'static str) {
        self.server.put_search(answer);
    }

    /// Misbehaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.server.set_faults(faults);
    }

    /// From now on a layer's second half waits.
    pub fn hold_layers(&self) -> Held<'_> {
        Held {
            held: self.server.hold_layers(),
            runtime: &self.runtime,
        }
    }
}

impl Held<'_> {
    /// Waits until a client has got the first half of a layer.
    pub fn wait_until_asked(&self) {
        self.runtime
            .block_on(async { timeout(PATIENCE, self.held.asked()).await })
            .expect("no layer was asked for");
    }

    pub fn release(self) {}
}
