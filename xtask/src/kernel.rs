//! The guest kernel: Debian's LTS source, compiled from the fragments in `guest-kernel/`.
//!
//! The fragments are read over `allnoconfig` (Documentation/kbuild/kconfig.rst, `KCONFIG_ALLCONFIG`), so that what
//! no fragment names is off. Kconfig drops silently what a missing dependency rules out; here that is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::fingerprint::Fingerprint;
use crate::setup::debian::{Debian, Release};
use crate::setup::machine;
use crate::{paths, publish, run};

/// Debian's package of the source. Its 6.12 series is a long-term one.
const PACKAGE: &str = "linux-source-6.12";
/// Raised when the way of building changes what is built.
const RECIPE: &str = "kernel 1";

/// What a kernel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs containers.
    Guest,
    /// A KVM host under an emulator, for tests and benchmarks.
    Laptop,
}

impl Role {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Guest => "",
            Self::Laptop => "-laptop",
        }
    }
}

/// Returns the path of the kernel, which is built when the cache does not have it: an uncompressed `vmlinux` (ELF,
/// with the PVH note) for amd64, an uncompressed `Image` for arm64.
///
/// # Errors
/// When a tool or the source cannot be had, an option that a fragment asks for is dropped, or it does not compile.
pub fn build(arch: Architecture, role: Role) -> Result<PathBuf> {
    machine::install(&[machine::KERNEL, &machine::compilers()?].concat())?;
    let source = Source::get()?;
    let asked = fragments(arch, role)?;
    let compiler = run::output(Command::new(format!("{}gcc", arch.tool_prefix())).arg("--version"))?;
    let mut fingerprint = Fingerprint::new(RECIPE);
    for input in [
        source.version.as_str(),
        arch.docker(),
        &asked,
        compiler.lines().next().unwrap_or_default(),
    ] {
        fingerprint.add(input);
    }
    let name = format!("{}{}-{}", arch.docker(), role.suffix(), fingerprint.finish());
    let folder = paths::cache().join("kernel").join(name);
    publish::once(&folder, |draft| compile(&source, arch, role, &asked, draft))?;
    Ok(folder.join("kernel"))
}

/// The fragments of a kernel, one after the other.
fn fragments(arch: Architecture, role: Role) -> Result<String> {
    let names = match role {
        Role::Guest => ["common.config".to_owned(), format!("{}.config", arch.cpu())],
        Role::Laptop => [
            "laptop.config".to_owned(),
            format!("laptop-{}.config", arch.cpu()),
        ],
    };
    let mut text = String::new();
    for name in names {
        let path = paths::checkout().join("guest-kernel").join(name);
        text += &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text)
}

fn compile(source: &Source, arch: Architecture, role: Role, asked: &str, folder: &Path) -> Result<()> {
    let label = format!("kernel {}{}", arch.docker(), role.suffix());
    let objects = paths::cache()
        .join("kernel")
        .join(format!("objects-{}{}", arch.docker(), role.suffix()));
    publish::remove(&objects)?;
    fs::create_dir_all(&objects)?;
    fs::create_dir_all(folder)?;
    let asked_path = objects.join("asked.config");
    fs::write(&asked_path, asked)?;

    let mut all_config = std::ffi::OsString::from("KCONFIG_ALLCONFIG=");
    all_config.push(&asked_path);
    run::output(make(source, arch, &objects).arg(all_config).arg("allnoconfig"))?;
    let configuration = fs::read_to_string(objects.join(".config"))?;
    let dropped = unmet(asked, &configuration);
    if !dropped.is_empty() {
        bail!(
            "the configuration of the {label} did not take, for want of what they depend on:\n{}",
            dropped.join("\n")
        );
    }

    let (goal, product) = match arch {
        Architecture::Amd64 => ("vmlinux", "vmlinux"),
        Architecture::Arm64 => ("Image", "arch/arm64/boot/Image"),
    };
    run::step(&format!("{label}: compiling Linux {}", source.version));
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let log = paths::cache()
        .join("kernel")
        .join(format!("build-{}{}.log", arch.docker(), role.suffix()));
    run::run_counting(
        make(source, arch, &objects).arg(format!("-j{jobs}")).arg(goal),
        &label,
        &log,
    )?;

    let kernel = folder.join("kernel");
    fs::copy(objects.join(product), &kernel)?;
    if arch == Architecture::Amd64 {
        run::run(
            Command::new(format!("{}strip", arch.tool_prefix()))
                .arg("--strip-all")
                .arg(&kernel),
        )?;
    }
    fs::write(folder.join("config"), configuration)?;
    publish::remove(&objects)
}

/// `make` for this architecture, with what would differ from machine to machine fixed.
fn make(source: &Source, arch: Architecture, objects: &Path) -> Command {
    let mut command = Command::new("make");
    let mut output = std::ffi::OsString::from("O=");
    output.push(objects);
    let prefix = arch.tool_prefix();
    command
        .arg("-C")
        .arg(&source.folder)
        .arg(output)
        .args([
            format!("ARCH={}", arch.kernel()),
            format!("CROSS_COMPILE={prefix}"),
        ])
        .arg(format!("CC={prefix}gcc"))
        .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 2026")
        .env("KBUILD_BUILD_VERSION", "1")
        .env("KBUILD_BUILD_USER", "sampan")
        .env("KBUILD_BUILD_HOST", "sampan")
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS");
    command
}

/// The lines of `asked` that `configuration` does not fulfil.
fn unmet(asked: &str, configuration: &str) -> Vec<String> {
    let lines: std::collections::HashSet<&str> = configuration.lines().collect();
    let is_set = |option: &str| {
        lines.iter().any(|line| {
            line.strip_prefix(option)
                .is_some_and(|rest| rest.starts_with('='))
        })
    };
    asked
        .lines()
        .map(str::trim)
        .filter(|line| {
            match line
                .strip_prefix("# ")
                .and_then(|rest| rest.strip_suffix(" is not set"))
            {
                Some(option) => is_set(option),
                None => line.starts_with("CONFIG_") && !lines.contains(line),
            }
        })
        .map(str::to_owned)
        .collect()
}

/// The unpacked source.
struct Source {
    folder: PathBuf,
    /// Debian's version of it.
    version: String,
}

impl Source {
    /// The source in the cache, else the newest that Debian has.
    fn get() -> Result<Self> {
        let sources = paths::cache().join("kernel/source");
        if let Some(found) = Self::find(&sources)? {
            return Ok(found);
        }
        let debian = Debian::open(Release::Trixie)?;
        let version = debian
            .version(PACKAGE, "")?
            .with_context(|| format!("Debian no longer has the package {PACKAGE}"))?;
        run::step(&format!("fetching the source of Linux {version}"));
        let folder = sources.join(&version);
        publish::once(&folder, |draft| {
            let downloads = draft.with_extension("deb");
            publish::remove(&downloads)?;
            debian.download(&[format!("{PACKAGE}={version}")], &downloads)?;
            fs::create_dir_all(draft)?;
            for file in fs::read_dir(&downloads)? {
                let unpack = format!(
                    "set -o pipefail; dpkg-deb --fsys-tarfile \"$1\" | tar -xO ./usr/src/{PACKAGE}.tar.xz \
                     | xz -dc -T0 | tar -x --strip-components=1 -C \"$2\""
                );
                run::run(
                    Command::new("bash")
                        .args(["-c", &unpack, "unpack"])
                        .arg(file?.path())
                        .arg(draft),
                )?;
            }
            publish::remove(&downloads)
        })?;
        Ok(Self { folder, version })
    }

    fn find(sources: &Path) -> Result<Option<Self>> {
        let Ok(entries) = fs::read_dir(sources) else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().into_string().ok();
            names.extend(name.filter(|name| name.starts_with(|first: char| first.is_ascii_digit())));
        }
        names.sort();
        Ok(names.pop().map(|version| Self {
            folder: sources.join(&version),
            version,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_was_asked_for_and_is_missing_is_unmet() {
        let asked = "# a comment\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_N=64\n# CONFIG_PCI is not set\n";
        let kept = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_N=64\n# CONFIG_PCI is not set\n";
        assert!(unmet(asked, kept).is_empty());
        assert_eq!(
            unmet(asked, "CONFIG_A=y\nCONFIG_N=8\n"),
            ["CONFIG_B=y", "CONFIG_N=64"]
        );
    }

    #[test]
    fn an_option_that_was_asked_to_be_off_and_is_on_is_unmet() {
        assert_eq!(
            unmet("# CONFIG_PCI is not set\n", "CONFIG_PCI=y\n"),
            ["# CONFIG_PCI is not set"]
        );
        assert!(unmet("# CONFIG_PCI is not set\n", "CONFIG_PCI_QUIRKS=y\n").is_empty());
    }
}
