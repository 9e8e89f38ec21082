//! What the engine is told when it opens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Architecture;
use store::{Mirror, Patience, Platform, StoreConfig};
use vmm::Acceleration;

/// The size of a data disk that nobody chose, in bytes.
pub const DEFAULT_DISK: u64 = 64 << 30;
/// The smallest data disk, in bytes.
pub const SMALLEST_DISK: u64 = 256 << 20;

/// How the logs of containers are kept that do not say it themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDefaults {
    /// One of Docker's log drivers that sampan has.
    pub driver: String,
    /// Options of that driver.
    pub options: BTreeMap<String, String>,
}

impl Default for LogDefaults {
    fn default() -> Self {
        Self {
            driver: "json-file".to_owned(),
            options: BTreeMap::new(),
        }
    }
}

/// The engine's settings. All of them hold for the life of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The folder of all state: database, images, machines, logs. Created with mode 0700.
    pub home: PathBuf,
    /// The folder of `kernel-amd64`, `initramfs-amd64`, `kernel-arm64` and `initramfs-arm64`.
    pub share: PathBuf,
    /// The architecture of the default machine.
    pub architecture: Architecture,
    /// How machines of the host's own architecture execute; the other is always emulated.
    pub acceleration: Acceleration,
    /// Virtual CPUs of each machine.
    pub cpus: u32,
    /// Memory of each machine in MiB.
    pub memory_mib: u32,
    /// The size of the data disks that are made from now on, in bytes. They take as much of the host's disk as was
    /// written to them.
    pub disk_bytes: u64,
    /// Whether a machine's kernel says on its console all that it has to say; else errors and worse.
    pub verbose_console: bool,
    /// How long a machine runs that nobody uses; `None`: until it is stopped.
    pub idle: Option<Duration>,
    /// Where to pull a registry's images from instead: (registry domain, base URLs in the order to try).
    pub mirrors: Vec<(String, Vec<String>)>,
    /// Registries (`host[:port]`) that are spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// The time without a byte after which a registry counts as stalled.
    pub registry_timeout: Duration,
    /// The log driver of containers that name none.
    pub log: LogDefaults,
    /// The program and first arguments that run a machine, such as `sampan vmm`.
    pub vmm_command: Vec<OsString>,
}

impl EngineConfig {
    /// Both architectures, that of the default machine first.
    pub(crate) fn architectures(&self) -> [Architecture; 2] {
        match self.architecture {
            Architecture::Amd64 => [Architecture::Amd64, Architecture::Arm64],
            Architecture::Arm64 => [Architecture::Arm64, Architecture::Amd64],
        }
    }

    /// The kernel of a machine.
    pub(crate) fn kernel(&self, architecture: Architecture) -> PathBuf {
        self.share.join(format!("kernel-{architecture}"))
    }

    /// The initramfs of a machine.
    pub(crate) fn initramfs(&self, architecture: Architecture) -> PathBuf {
        self.share.join(format!("initramfs-{architecture}"))
    }

    /// The folder of a machine.
    pub(crate) fn machine(&self, architecture: Architecture) -> PathBuf {
        self.home.join("machines").join(architecture.docker_name())
    }

    /// How the store of images is set up.
    pub(crate) fn store(&self) -> StoreConfig {
        StoreConfig {
            mirrors: self
                .mirrors
                .iter()
                .map(|(domain, urls)| Mirror {
                    domain: domain.clone(),
                    urls: urls.clone(),
                })
                .collect(),
            insecure_registries: self.insecure_registries.clone(),
            default_platform: Platform::linux(self.architecture),
            patience: Patience {
                stall: self.registry_timeout,
                // Whoever wants to know soon does not want to wait in between either.
                back_off: (self.registry_timeout / 30).min(Patience::default().back_off),
                ..Patience::default()
            },
            ..StoreConfig::new(self.home.join("store"))
        }
    }
}
