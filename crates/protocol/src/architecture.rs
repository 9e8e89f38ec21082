//! The two CPU architectures that sampan runs, under the names that Docker and the OCI image spec
//! (image-spec, `platform.architecture`) give them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A CPU architecture of a guest, an image or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64, `x86_64` to the kernel.
    Amd64,
    /// 64-bit Arm, `aarch64` to the kernel.
    Arm64,
}

impl Architecture {
    /// The architecture that this program was compiled for, if sampan can run guests of it.
    pub const fn of_host() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::Amd64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm64)
        } else {
            None
        }
    }

    /// Docker's name: `amd64` or `arm64`.
    pub const fn docker_name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name that `uname -m` prints: `x86_64` or `aarch64`.
    pub const fn kernel_name(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.docker_name())
    }
}

/// The name is neither Docker's nor the kernel's for an architecture that sampan runs.
#[derive(Debug, thiserror::Error)]
#[error("unknown architecture {0:?}: sampan runs amd64 (x86_64) and arm64 (aarch64)")]
pub struct UnknownArchitecture(String);

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "amd64" | "x86_64" | "x86-64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(UnknownArchitecture(name.chars().take(64).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_an_architecture_are_understood() {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            assert_eq!(
                architecture.docker_name().parse::<Architecture>().unwrap(),
                architecture
            );
            assert_eq!(
                architecture.kernel_name().parse::<Architecture>().unwrap(),
                architecture
            );
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_work() {
        let error = "riscv64".parse::<Architecture>().unwrap_err().to_string();
        assert!(error.contains("riscv64") && error.contains("arm64"), "{error}");
    }
}
