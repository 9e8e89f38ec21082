//! Platforms, `os/architecture[/variant]` (OCI image-spec, `image-index.md`), and which image of an index
//! serves one.

use std::fmt;
use std::str::FromStr;

use protocol::Architecture;
use serde::{Deserialize, Serialize};

/// Longest part of a platform looked at, in bytes.
const MAX_PART: usize = 64;

/// What an image is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// Go's name: `amd64`, `arm64`, `arm`, `riscv64`…
    pub architecture: String,
    /// `v8` for arm64, `v6` or `v7` for arm. `None` is the architecture's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A platform was not understood; the texts follow containerd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Not `os/architecture[/variant]`, or a part has a strange character.
    #[error("{0:?} is an invalid platform: write os/architecture[/variant], as in linux/arm64")]
    Format(String),
    /// One word that is neither an operating system nor an architecture.
    #[error("{0:?}: unknown operating system or architecture")]
    Unknown(String),
}

impl Platform {
    /// `linux/<architecture>`.
    pub fn linux(architecture: Architecture) -> Self {
        Self {
            os: "linux".to_owned(),
            architecture: architecture.docker_name().to_owned(),
            variant: None,
        }
    }

    /// The platform that an image config or an index entry names, in normal form.
    pub(crate) fn from_parts(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normal_architecture(architecture, variant.unwrap_or_default());
        let os = if os == "macos" {
            "darwin".to_owned()
        } else {
            os.to_ascii_lowercase()
        };
        Self {
            os,
            architecture,
            variant: Some(variant).filter(|variant| !variant.is_empty()),
        }
    }

    /// The architecture, if sampan can run it.
    pub fn runs_on(&self) -> Option<Architecture> {
        self.architecture.parse().ok()
    }

    /// Whether it is one of those that were asked for; without any, every platform is.
    pub fn is_among(&self, asked: &[Self]) -> bool {
        asked.is_empty() || asked.contains(self)
    }

    /// How well an image of `offered` serves `self`: `None` not at all, else smaller is better. A 32-bit Arm
    /// request is served by a lower variant too, and an arm64 one by v8 alone.
    pub(crate) fn distance(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.variant == offered.variant {
            return Some(0);
        }
        variant_number(self)?.checked_sub(variant_number(offered)?)
    }
}

/// The variant as a number, with the default of its architecture for none: arm64 is v8, arm is v7, amd64 v1.
fn variant_number(platform: &Platform) -> Option<u32> {
    match (&platform.variant, platform.architecture.as_str()) {
        (None, "arm64") => Some(8),
        (None, "arm") => Some(7),
        (None, "amd64") => Some(1),
        (None, _) => None,
        (Some(text), _) => text.strip_prefix('v')?.split('.').next()?.parse().ok(),
    }
}

/// The spellings that people and images use, in Go's terms.
fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let variant = variant.to_ascii_lowercase();
    let with_v = if variant.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        format!("v{variant}")
    } else {
        variant
    };
    let architecture = architecture.to_ascii_lowercase();
    let (architecture, variant) = match architecture.as_str() {
        "i386" => ("386", String::new()),
        "x86_64" | "x86-64" | "amd64" => ("amd64", if with_v == "v1" { String::new() } else { with_v }),
        "aarch64" | "arm64" => ("arm64", if with_v == "v8" { String::new() } else { with_v }),
        "armhf" => ("arm", String::new()),
        "armel" => ("arm", "v6".to_owned()),
        "arm" => ("arm", if with_v == "v7" { String::new() } else { with_v }),
        _ => (architecture.as_str(), with_v),
    };
    (architecture.to_owned(), variant)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sound = |part: &str| {
            !part.is_empty()
                && part.len() <= MAX_PART
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let parts: Vec<&str> = text.split('/').take(4).collect();
        if !parts.iter().copied().all(sound) {
            return Err(PlatformError::Format(text.chars().take(MAX_PART).collect()));
        }
        match parts.as_slice() {
            ["linux"] => Ok(Self {
                os: "linux".to_owned(),
                architecture: Architecture::of_host()
                    .unwrap_or(Architecture::Amd64)
                    .docker_name()
                    .to_owned(),
                variant: None,
            }),
            [architecture] => match architecture.parse::<Architecture>() {
                Ok(architecture) => Ok(Self::linux(architecture)),
                Err(_) => Err(PlatformError::Unknown((*architecture).to_owned())),
            },
            [os, architecture] => Ok(Self::from_parts(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::from_parts(os, architecture, Some(variant))),
            _ => Err(PlatformError::Format(text.chars().take(MAX_PART).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn common_spellings_come_to_the_same_platform() {
        assert_eq!(parsed("linux/aarch64"), parsed("linux/arm64/v8"));
        assert_eq!(parsed("arm64"), Platform::linux(Architecture::Arm64));
        assert_eq!(parsed("linux/x86_64").to_string(), "linux/amd64");
        assert_eq!(parsed("linux/arm/v6").to_string(), "linux/arm/v6");
        assert_eq!(parsed("linux/arm/7"), parsed("linux/arm"));
    }

    #[test]
    fn an_unknown_variant_serves_only_itself() {
        let odd = parsed("linux/amd64/odd");
        assert_eq!(odd.distance(&odd), Some(0));
        assert_eq!(odd.distance(&parsed("linux/amd64")), None);
        assert_eq!(parsed("linux/amd64").distance(&odd), None);
    }

    #[test]
    fn an_arm_request_takes_a_lower_variant_but_never_a_higher_one() {
        assert_eq!(parsed("linux/arm").distance(&parsed("linux/arm/v6")), Some(1));
        assert_eq!(parsed("linux/arm/v6").distance(&parsed("linux/arm/v7")), None);
        assert_eq!(parsed("linux/arm64").distance(&parsed("linux/arm64/v8")), Some(0));
        assert_eq!(parsed("linux/amd64").distance(&parsed("linux/amd64/v3")), None);
        assert_eq!(parsed("linux/amd64").distance(&parsed("linux/arm64")), None);
        assert_eq!(parsed("linux/amd64").distance(&parsed("windows/amd64")), None);
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        let error = |text: &str| text.parse::<Platform>().unwrap_err().to_string();
        assert!(error("linux/").contains("linux/arm64"));
        assert!(error("a/b/c/d").contains("invalid platform"));
        assert!(error("toaster").contains("unknown operating system or architecture"));
    }
}
