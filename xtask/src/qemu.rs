//! A QEMU that is newer than Debian 12's, unpacked and not installed.
//!
//! Debian 12's emulates AMD's SVM with a fault: once in some minutes an interrupt finds the nested guest's kernel with
//! its user's GS base, and the guest crashes. Debian 13's does not.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::architecture::Architecture;
use crate::setup::debian::Release;
use crate::setup::unpacked;

/// What only other machines, user interfaces and installations need.
const WITHOUT: &[&str] = &[
    "debconf",
    "debconf-2.0",
    "perl",
    "perl-base",
    "dpkg",
    "python3",
    "ipxe-qemu",
    "init-system-helpers",
];

/// A folder with a QEMU that runs on `arch` and emulates it, its libraries and its firmware.
///
/// # Errors
/// When a package cannot be had or unpacked.
pub fn unpacked(arch: Architecture) -> Result<PathBuf> {
    let package = match arch {
        Architecture::Amd64 => "qemu-system-x86",
        Architecture::Arm64 => "qemu-system-arm",
    };
    unpacked::unpack("qemu", Release::Trixie, &["base-files", package], WITHOUT, arch)
}

/// The same as a command: a program with its own libraries, where they were unpacked (ld.so(8)).
///
/// # Errors
/// As [`unpacked`].
pub fn command(arch: Architecture) -> Result<Command> {
    let folder = unpacked(arch)?;
    let (loader, triple) = match arch {
        Architecture::Amd64 => ("usr/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
        Architecture::Arm64 => ("usr/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
    };
    let mut command = Command::new(folder.join(loader));
    command
        .arg("--library-path")
        .arg(folder.join("usr/lib").join(triple))
        .arg(folder.join(format!("usr/bin/qemu-system-{}", arch.cpu())));
    for data in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(folder.join(data));
    }
    Ok(command)
}
