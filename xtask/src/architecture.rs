//! The two architectures under the names that each tool gives them.

use anyhow::{Result, bail};
use clap::ValueEnum;

/// An architecture that guests and images are built for, by Docker's (and Debian's) name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The architecture of this machine.
    ///
    /// # Errors
    /// When it is neither of the two.
    pub fn of_host() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("sampan is built on x86_64 or aarch64, and this machine is {other}"),
        }
    }

    /// `amd64` or `arm64`: Docker, OCI, Go and Debian.
    pub const fn docker(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// `ARCH=` of the kernel's makefile.
    pub const fn kernel(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The first part of target triples, and the name of the kernel fragments.
    pub const fn cpu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// What Debian's cross tools begin with, `gcc` of the own architecture among them.
    pub const fn tool_prefix(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu-",
            Self::Arm64 => "aarch64-linux-gnu-",
        }
    }

    /// Debian's package of the C compiler for this architecture on a `host`.
    pub fn gcc_package(self, host: Self) -> &'static str {
        match self {
            _ if self == host => "gcc",
            Self::Amd64 => "gcc-x86-64-linux-gnu",
            Self::Arm64 => "gcc-aarch64-linux-gnu",
        }
    }
}
