//! Static programs for Linux of either architecture: the guest's PID 1 and the greeting of `hello-world`.
//!
//! Where the toolchain has the musl target (`rustup target add`), it is used as it is. Otherwise the standard
//! library is compiled along (`-Zbuild-std`) and linked with musl and libgcc_eh from Debian packages by the
//! linker that comes with every toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::fingerprint::Fingerprint;
use crate::setup::debian::{Debian, Release};
use crate::setup::machine;
use crate::setup::rust_src::{self, Toolchain};
use crate::{paths, publish, run};

/// What Debian's libgcc_eh wants of the C library and musl does not have.
const FIND_OBJECT: &str = include_str!("musl/find_object.c");

/// Debian's gcc whose libgcc_eh unwinds stacks.
const GCC: &str = "14";

/// One of cargo's profiles (the workspace's `Cargo.toml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build, for what only tests run.
    Dev,
    /// Quick to run.
    Release,
    /// Small, for what is in every machine.
    Guest,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Guest => "guest",
        }
    }

    /// The folder below the target's in which cargo puts what it builds.
    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
            Self::Guest => "guest",
        }
    }
}

/// Builds the program `bin` of `package` with the profile `guest` and returns its path.
///
/// # Errors
/// When the libraries cannot be had or it does not compile.
pub fn build(package: &str, bin: &str, arch: Architecture) -> Result<PathBuf> {
    build_with(package, bin, arch, Profile::Guest)
}

/// Builds the program `bin` of `package` and returns its path.
///
/// # Errors
/// When the libraries cannot be had or it does not compile.
pub fn build_with(package: &str, bin: &str, arch: Architecture, profile: Profile) -> Result<PathBuf> {
    let toolchain = Toolchain::current()?;
    let target = format!("{}-unknown-linux-musl", arch.cpu());
    // A folder of its own, so that other builds need not wait for this one.
    let folder = paths::target().join("guest");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(paths::checkout())
        .args([
            "build",
            "--quiet",
            "--profile",
            profile.name(),
            "--package",
            package,
            "--bin",
            bin,
        ])
        .args(["--target", &target, "--target-dir"])
        .arg(&folder);
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
    ];
    if !toolchain.has_target(&target) {
        rust_src::install(&toolchain)?;
        let libraries = libraries(arch)?;
        let libraries = libraries.display();
        cargo
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort");
        flags.extend([
            "-Clinker-flavor=ld.lld".to_owned(),
            "-Clink-self-contained=no".to_owned(),
        ]);
        flags.extend(["crt1.o", "crti.o", "crtn.o"].map(|part| format!("-Clink-arg={libraries}/{part}")));
        flags.push(format!("-Clink-arg=-L{libraries}"));
    }
    let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", target.to_uppercase().replace('-', "_"));
    run::step(&format!("building {bin} for {}", arch.docker()));
    run::run(
        cargo
            .env(variable("LINKER"), "rust-lld")
            .env(variable("RUSTFLAGS"), flags.join(" "))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    Ok(folder.join(target).join(profile.folder()).join(bin))
}

/// A folder with the start-up objects, `libc.a` and `libunwind.a`.
fn libraries(arch: Architecture) -> Result<PathBuf> {
    let mut fingerprint = Fingerprint::new("musl 1");
    fingerprint.add(FIND_OBJECT);
    let name = format!("{}-{}", arch.docker(), fingerprint.finish());
    let folder = paths::cache().join("musl").join(name);
    publish::once(&folder, |draft| {
        machine::install(&machine::compilers()?)?;
        run::step(&format!("fetching musl for {}", arch.docker()));
        let unpacked = draft.with_extension("unpacked");
        publish::remove(&unpacked)?;
        let packages = ["musl-dev".to_owned(), format!("libgcc-{GCC}-dev")];
        Debian::open(Release::Trixie)?.download(
            &packages.map(|name| format!("{name}:{}", arch.docker())),
            &unpacked,
        )?;
        for file in fs::read_dir(&unpacked)?.collect::<std::io::Result<Vec<_>>>()? {
            run::run(Command::new("dpkg-deb").arg("-x").arg(file.path()).arg(&unpacked))?;
        }
        let take = |from: &Path, name: &str| {
            fs::copy(from, draft.join(name))
                .with_context(|| format!("Debian's packages have no {}", from.display()))
        };
        fs::create_dir_all(draft)?;
        let musl = unpacked.join(format!("usr/lib/{}-linux-musl", arch.cpu()));
        for name in ["crt1.o", "crti.o", "crtn.o", "libc.a"] {
            take(&musl.join(name), name)?;
        }
        let gcc = unpacked.join(format!("usr/lib/gcc/{}-linux-gnu/{GCC}", arch.cpu()));
        take(&gcc.join("libgcc_eh.a"), "libunwind.a")?;
        add_find_object(draft, arch)?;
        publish::remove(&unpacked)
    })
}

/// Compiles [`FIND_OBJECT`] into `libunwind.a` in `folder`.
fn add_find_object(folder: &Path, arch: Architecture) -> Result<()> {
    let (source, object) = (folder.join("find_object.c"), folder.join("find_object.o"));
    fs::write(&source, FIND_OBJECT)?;
    run::run(
        Command::new(format!("{}gcc", arch.tool_prefix()))
            .args([
                "-c",
                "-O2",
                "-ffreestanding",
                "-fno-pic",
                "-Wall",
                "-Werror",
                "-o",
            ])
            .arg(&object)
            .arg(&source),
    )?;
    run::run(
        Command::new(format!("{}ar", arch.tool_prefix()))
            .arg("rs")
            .arg(folder.join("libunwind.a"))
            .arg(object),
    )
}
