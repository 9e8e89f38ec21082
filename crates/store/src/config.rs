//! How a store is set up.

use std::path::PathBuf;
use std::time::Duration;

use protocol::Architecture;

use crate::platform::Platform;

/// Where a store is, and how it reaches registries.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Folder of the store; made when absent.
    pub root: PathBuf,
    /// Mirrors, tried in order before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// `host` or `host:port` of registries that may be spoken to over plain HTTP. Loopback always may.
    pub insecure_registries: Vec<String>,
    /// The image that a name means when it names images of several platforms.
    pub default_platform: Platform,
    /// What an image may ask for.
    pub limits: Limits,
    /// How long the network is waited for.
    pub patience: Patience,
}

impl StoreConfig {
    /// The defaults, in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            mirrors: Vec::new(),
            insecure_registries: Vec::new(),
            default_platform: Platform::linux(Architecture::of_host().unwrap_or(Architecture::Amd64)),
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }
}

/// Other places that serve the content of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The registry as a reference names it: `docker.io`.
    pub domain: String,
    /// Base URLs without `/v2/`, tried in order.
    pub urls: Vec<String>,
}

/// What registries and archives may not go beyond. Sizes are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A manifest or index.
    pub manifest: u64,
    /// An image config.
    pub config: u64,
    /// Layers of one image: overlayfs stacks no more than this.
    pub layers: usize,
    /// One uncompressed layer.
    pub layer: u64,
    /// Uncompressed bytes that a layer may always have, whatever its compressed size.
    pub ratio_floor: u64,
    /// Beyond the floor: how many uncompressed bytes may come from one compressed byte.
    pub ratio: u64,
    /// Files, folders and links in one layer.
    pub entries: usize,
    /// Bytes of names, link targets and extended attributes of one layer held in memory.
    pub metadata: usize,
    /// Bytes that stay free on the disk.
    pub free_disk: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 << 20,
            config: 8 << 20,
            layers: 500,
            layer: 256 << 30,
            ratio_floor: 1 << 30,
            ratio: 200,
            entries: 2_000_000,
            metadata: 256 << 20,
            free_disk: 64 << 20,
        }
    }
}

/// How long and how often the network is tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Time to connect, and time without a byte before a transfer counts as stalled.
    pub stall: Duration,
    /// Wait before the first retry; doubled each time.
    pub back_off: Duration,
    /// Retries in a row without progress.
    pub retries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            back_off: Duration::from_secs(1),
            retries: 5,
        }
    }
}

/// Who pulls. At most one of the three ways is used: registry token, identity token, name and password.
#[derive(Clone, Default)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// OAuth2 refresh token.
    pub identity_token: Option<String>,
    /// Bearer token that is sent as it is.
    pub registry_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
