//! Where sampan keeps its state, and what a user has set.
//!
//! - `SAMPAN_HOME`: the folder of all state; by default the system's folder for a user's data.
//! - `SAMPAN_SHARE`: the folder with the kernels and initramfs.
//! - `config.toml` in the home folder: the settings of the machines and registries.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Acceleration, Accelerator, Architecture, EngineConfig, LogDefaults};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::replace::replace;
use crate::sys;

const FILE: &str = "config.toml";
const DEFAULT_MEMORY_MIB: u32 = 1024;
const MAX_CPUS: u32 = 32;
/// Seconds.
const REGISTRY_TIMEOUT: u64 = 30;
/// Seconds.
const IDLE_TIMEOUT: u64 = 300;

/// The folder of all state, absolute.
pub(crate) fn home() -> Result<PathBuf> {
    let chosen = env::var_os("SAMPAN_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let home = match chosen {
        Some(home) => home,
        None => sys::data_folder()
            .ok_or_else(|| Failure::new("there is no home folder to keep data in: set SAMPAN_HOME"))?
            .join("sampan"),
    };
    std::path::absolute(&home).map_err(|error| Failure::new(format!("{}: {error}", home.display())))
}

/// The settings as they are written in the file; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The default machine's architecture.
    pub(crate) architecture: Option<Architecture>,
    /// `auto`, `kvm`, `hvf`, `whp` or `tcg`.
    pub(crate) acceleration: Option<String>,
    /// Virtual CPUs of a machine.
    pub(crate) cpus: Option<u32>,
    /// Memory of a machine, such as `2g`.
    pub(crate) memory: Option<String>,
    /// Size of the data disks that are made from now on, such as `64g`.
    pub(crate) disk: Option<String>,
    /// Whether a machine's kernel tells its whole boot in `machines/<architecture>/console.log`.
    pub(crate) verbose_console: Option<bool>,
    /// Seconds after which a machine that nobody uses is stopped; 0: never.
    pub(crate) idle_timeout: Option<u64>,
    /// Registries that are spoken to without TLS.
    pub(crate) insecure_registries: Vec<String>,
    /// Seconds without a byte after which a registry counts as stalled.
    pub(crate) registry_timeout: Option<u64>,
    /// The log driver of containers that name none.
    pub(crate) log_driver: Option<String>,
    /// Where a registry's images are pulled from instead.
    pub(crate) mirrors: BTreeMap<String, Vec<String>>,
    /// Options of the log driver.
    pub(crate) log_opts: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the home folder's file, if there is one.
    pub(crate) fn load(home: &Path) -> Result<Self> {
        let path = home.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                Self::parse(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::new(format!("{}: {error}", path.display()))),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
    }

    /// Writes the home folder's file in one step.
    pub(crate) fn store(&self, home: &Path) -> Result<()> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", home.join(FILE).display()));
        let text = toml::to_string(self).map_err(|error| failed(&error))?;
        std::fs::create_dir_all(home).map_err(|error| failed(&error))?;
        replace(&home.join(FILE), text.as_bytes()).map_err(|error| failed(&error))
    }

    /// `other`'s settings over these.
    pub(crate) fn overlaid(mut self, other: Self) -> Self {
        self.architecture = other.architecture.or(self.architecture);
        self.acceleration = other.acceleration.or(self.acceleration);
        self.cpus = other.cpus.or(self.cpus);
        self.memory = other.memory.or(self.memory);
        self.disk = other.disk.or(self.disk);
        self.registry_timeout = other.registry_timeout.or(self.registry_timeout);
        self.verbose_console = other.verbose_console.or(self.verbose_console);
        self.idle_timeout = other.idle_timeout.or(self.idle_timeout);
        self.insecure_registries.extend(other.insecure_registries);
        self.mirrors.extend(other.mirrors);
        self.log_driver = other.log_driver.or(self.log_driver);
        self.log_opts.extend(other.log_opts);
        self
    }

    /// The engine's configuration that these settings mean.
    pub(crate) fn engine(&self, home: PathBuf) -> Result<EngineConfig> {
        let executable = env::current_exe()
            .map_err(|error| Failure::new(format!("this program's own path cannot be found: {error}")))?;
        let architecture = self.architecture.or_else(Architecture::of_host).ok_or_else(|| {
            Failure::new("sampan runs amd64 and arm64 machines: choose one with --arch or in config.toml")
        })?;
        let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpus = self
            .cpus
            .unwrap_or_else(|| u32::try_from(available).unwrap_or(MAX_CPUS).min(MAX_CPUS));
        if !(1..=MAX_CPUS).contains(&cpus) {
            return Err(Failure::new(format!(
                "a machine can have 1 to {MAX_CPUS} CPUs, not {cpus}"
            )));
        }
        Ok(EngineConfig {
            share: share(&executable),
            home,
            architecture,
            acceleration: self
                .acceleration
                .as_deref()
                .map_or(Ok(Acceleration::Auto), acceleration)?,
            cpus,
            memory_mib: self
                .memory
                .as_deref()
                .map_or(Ok(DEFAULT_MEMORY_MIB), memory_mib)?,
            disk_bytes: self
                .disk
                .as_deref()
                .map_or(Ok(engine::DEFAULT_DISK), disk_bytes)?,
            verbose_console: self.verbose_console.unwrap_or_default(),
            idle: match self.idle_timeout.unwrap_or(IDLE_TIMEOUT) {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            mirrors: self.mirrors.clone().into_iter().collect(),
            insecure_registries: self.insecure_registries.clone(),
            registry_timeout: Duration::from_secs(self.registry_timeout.unwrap_or(REGISTRY_TIMEOUT).max(1)),
            log: LogDefaults {
                driver: self
                    .log_driver
                    .clone()
                    .unwrap_or_else(|| LogDefaults::default().driver),
                options: self.log_opts.clone(),
            },
            vmm_command: vec![executable.into_os_string(), OsString::from("vmm")],
        })
    }
}

/// The name of a way to execute a machine.
pub(crate) fn acceleration(name: &str) -> Result<Acceleration> {
    Ok(match name {
        "auto" => Acceleration::Auto,
        "kvm" => Acceleration::Only(Accelerator::Kvm),
        "hvf" => Acceleration::Only(Accelerator::Hvf),
        "whp" => Acceleration::Only(Accelerator::Whp),
        "tcg" => Acceleration::Only(Accelerator::Tcg),
        _ => {
            return Err(Failure::new(format!(
                "unknown acceleration {name:?}: use auto, kvm, hvf, whp or tcg"
            )));
        }
    })
}

/// A machine's memory: `512m`, `2g`, or plain bytes.
pub(crate) fn memory_mib(text: &str) -> Result<u32> {
    let bytes =
        crate::values::bytes(text).map_err(|error| Failure::new(format!("machine memory: {error}")))?;
    u32::try_from(bytes >> 20)
        .ok()
        .filter(|mib| *mib >= 128)
        .ok_or_else(|| Failure::new(format!("a machine needs 128m of memory at least, not {text}")))
}

/// The size of a data disk, in whole MiB.
fn disk_bytes(text: &str) -> Result<u64> {
    let bytes = crate::values::bytes(text).map_err(|error| Failure::new(format!("data disk: {error}")))?;
    u64::try_from(bytes)
        .ok()
        .map(|bytes| bytes & !((1 << 20) - 1))
        .filter(|bytes| *bytes >= engine::SMALLEST_DISK)
        .ok_or_else(|| {
            let least = engine::SMALLEST_DISK >> 20;
            Failure::new(format!("a data disk has {least}m at least, not {text}"))
        })
}

/// The folder with kernels and initramfs: as told, or beside the program's own folder, which is where an
/// installation and a checkout's `target` both have it.
fn share(executable: &Path) -> PathBuf {
    match env::var_os("SAMPAN_SHARE").filter(|value| !value.is_empty()) {
        Some(told) => PathBuf::from(told),
        None => executable
            .parent()
            .unwrap_or(Path::new("."))
            .join("../share/sampan"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_file_sets_machines_and_registries() {
        let text = "architecture = \"arm64\"\nacceleration = \"tcg\"\ncpus = 3\nmemory = \"512m\"\n\
                    insecure-registries = [\"10.0.0.1:5000\"]\n[mirrors]\n\"docker.io\" = [\"http://127.0.0.1:5000\"]\n";
        let config = Settings::parse(text).unwrap().engine("/h".into()).unwrap();
        assert_eq!(
            (config.architecture, config.cpus, config.memory_mib),
            (Architecture::Arm64, 3, 512)
        );
        assert_eq!(config.acceleration, Acceleration::Only(Accelerator::Tcg));
        assert_eq!(
            config.mirrors,
            [("docker.io".to_owned(), vec!["http://127.0.0.1:5000".to_owned()])]
        );
    }

    #[rstest]
    #[case("", Some(IDLE_TIMEOUT))]
    #[case("idle-timeout = 7", Some(7))]
    #[case("idle-timeout = 0", None)]
    fn a_file_sets_when_a_machine_that_nobody_uses_is_stopped(
        #[case] text: &str,
        #[case] seconds: Option<u64>,
    ) {
        let config = Settings::parse(text).unwrap().engine("/h".into()).unwrap();
        assert_eq!(config.idle, seconds.map(Duration::from_secs));
    }

    #[test]
    fn a_file_sets_how_logs_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let text = "log-driver = \"local\"\n[log-opts]\nmax-size = \"5m\"\n";
        let settings = Settings::parse(text).unwrap();
        settings.store(home.path()).unwrap();
        let log = Settings::load(home.path())
            .unwrap()
            .engine("/h".into())
            .unwrap()
            .log;
        assert_eq!(log.driver, "local");
        assert_eq!(log.options, [("max-size".to_owned(), "5m".to_owned())].into());
    }

    #[test]
    fn a_setting_that_does_not_exist_is_an_error_that_names_it() {
        assert!(Settings::parse("cpu = 3").unwrap_err().contains("cpu"));
    }

    #[test]
    fn what_was_stored_is_loaded_and_later_settings_win() {
        let home = tempfile::tempdir().unwrap();
        let first = Settings {
            cpus: Some(2),
            memory: Some("1g".into()),
            ..Settings::default()
        };
        first.store(home.path()).unwrap();
        let later = Settings {
            cpus: Some(4),
            ..Settings::default()
        };
        let merged = Settings::load(home.path()).unwrap().overlaid(later);
        assert_eq!((merged.cpus, merged.memory.as_deref()), (Some(4), Some("1g")));
    }

    #[test]
    fn a_machine_that_cannot_be_is_refused() {
        let none = Settings {
            cpus: Some(0),
            ..Settings::default()
        };
        assert!(none.engine("/h".into()).is_err());
        assert!(memory_mib("4m").is_err());
        assert!(acceleration("fast").is_err());
    }
}
