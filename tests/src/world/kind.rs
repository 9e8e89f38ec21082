//! The kind of machine that the scenarios meet, from the environment.

use std::env;
use std::path::PathBuf;

/// A kind of machine and where its files are.
pub struct Kind {
    /// Docker's name of the guest's architecture.
    pub architecture: String,
    /// `auto`, `kvm` or `tcg`.
    pub acceleration: String,
    /// Whether this computer is the virtual laptop, which belongs to the tests.
    pub laptop: bool,
    pub program: PathBuf,
    pub share: PathBuf,
    pub images: PathBuf,
    /// Where the `docker` command is unpacked; `None` where it cannot be had.
    pub docker: Option<PathBuf>,
    /// Where the Python SDK is unpacked; `None` where it cannot be had.
    pub python: Option<PathBuf>,
    /// The program over Testcontainers; `None` where it was not built.
    pub testcontainers: Option<PathBuf>,
}

impl Kind {
    pub fn from_environment() -> Self {
        let own = match env::consts::ARCH {
            "x86_64" => "amd64",
            _ => "arm64",
        };
        let beside = env::current_exe().unwrap().with_file_name("sampan");
        Self {
            architecture: env::var("SAMPAN_E2E_ARCH").unwrap_or_else(|_| own.to_owned()),
            acceleration: env::var("SAMPAN_E2E_ACCEL").unwrap_or_else(|_| "auto".to_owned()),
            laptop: env::var_os("SAMPAN_E2E_LAPTOP").is_some(),
            program: env::var_os("SAMPAN_E2E_BIN").map_or(beside, PathBuf::from),
            share: env::var_os("SAMPAN_SHARE")
                .map(PathBuf::from)
                .expect("SAMPAN_SHARE names the share folder"),
            images: env::var_os("SAMPAN_E2E_IMAGES")
                .map(PathBuf::from)
                .expect("SAMPAN_E2E_IMAGES is set"),
            docker: env::var_os("SAMPAN_E2E_DOCKER").map(PathBuf::from),
            python: env::var_os("SAMPAN_E2E_PYTHON").map(PathBuf::from),
            testcontainers: env::var_os("SAMPAN_E2E_TESTCONTAINERS").map(PathBuf::from),
        }
    }

    /// The architecture of the computer that the tests run on.
    pub fn host_architecture() -> &'static str {
        match env::consts::ARCH {
            "x86_64" => "amd64",
            _ => "arm64",
        }
    }
}
