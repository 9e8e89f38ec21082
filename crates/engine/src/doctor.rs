//! `sampan doctor`: what this computer, the machines and the data have of what sampan needs, with advice for each thing
//! that is wrong.
//!
//! ```text
//! host      the system, its hypervisor, cryptography, memory
//! qemu      the translator, and whether it is too old
//! home      the folder of all state: room, paths, permissions
//! network   names of registries, proxies
//! machine   kernel and initramfs, data disk, the running guest and its clock
//! data      records, images and their layers, leftovers
//! ```
//!
//! Each finding is made by a function of plain values, so that the bad case can be shown without a bad computer.
//! Nothing is booted or changed, and every wait has an end.

mod data;
mod home;
mod host;
mod machine;
mod network;
mod qemu;

use crate::acceleration::Accelerations;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::system::VERSION;
use crate::types::{Finding, Severity};

/// What can be told of a computer without a service that runs.
pub async fn examine(config: &EngineConfig) -> Vec<Finding> {
    computer(config, &Accelerations::new(config.acceleration)).await
}

impl Engine {
    /// Looks at the computer, the machines and the data. Boots nothing.
    pub async fn doctor(&self) -> Vec<Finding> {
        let inner = &self.inner;
        let [default, _] = inner.machines();
        let mut findings = vec![Finding::ok(
            "service",
            format!("sampan {VERSION}, process {}", std::process::id()),
        )];
        findings.extend(computer(&inner.config, &default.accelerations).await);
        for machine in inner.machines() {
            findings.extend(machine::findings(inner, machine).await);
        }
        findings.extend(data::findings(inner).await);
        findings
    }
}

async fn computer(config: &EngineConfig, accelerations: &Accelerations) -> Vec<Finding> {
    let mut findings = vec![host::system(), host::hypervisor(), host::cryptography()];
    for architecture in config.architectures() {
        let default = architecture == config.architecture;
        let chosen = accelerations.choose(architecture).await;
        findings.push(host::acceleration(architecture, default, chosen));
        findings.push(qemu::finding(architecture, default).await);
        findings.extend(machine::files(config, architecture));
    }
    findings.push(host::memory(config.memory_mib));
    findings.extend(home::findings(&config.home));
    findings.extend(network::findings(config).await);
    findings
}

/// How bad it is that a machine cannot run: the other one is seldom needed.
fn severity(default: bool) -> Severity {
    if default {
        Severity::Error
    } else {
        Severity::Warning
    }
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1u32 << 20);
    if mebibytes < 1024.0 {
        format!("{mebibytes:.1} MiB")
    } else {
        format!("{:.1} GiB", mebibytes / 1024.0)
    }
}

/// `1 image`, `2 images`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
