//! `sampan doctor`: what the host has of what sampan needs, with advice for each thing that is wrong.

use std::path::Path;

use protocol::Architecture;
use vmm::control::Accelerator;

use crate::engine::{Engine, Inner};
use crate::machine::Machine;
use crate::sys;
use crate::types::{Finding, Severity};

/// Less free disk than this is told as too little, in bytes.
const LITTLE_DISK: u64 = 2 << 30;
/// So little that pulls and containers fail soon.
const NO_DISK: u64 = 256 << 20;

impl Engine {
    /// Looks at the host and the machines. Boots nothing.
    pub async fn doctor(&self) -> Vec<Finding> {
        let inner = &self.inner;
        let mut findings = vec![hypervisor(), cryptography()];
        for machine in inner.machines() {
            findings.push(acceleration(machine).await);
            findings.push(qemu(machine.architecture(), machine.settings.default));
            findings.extend(files(machine));
            findings.push(state(machine).await);
        }
        findings.push(disk(&inner.config.home));
        findings.push(sockets(inner));
        findings.push(permissions(&inner.config.home));
        findings
    }
}

fn finding(
    severity: Severity,
    subject: impl Into<String>,
    finding: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        subject: subject.into(),
        finding: finding.into(),
        advice: advice.into(),
    }
}

fn good(subject: impl Into<String>, text: impl Into<String>) -> Finding {
    finding(Severity::Ok, subject, text, "")
}

fn hypervisor() -> Finding {
    match sys::hypervisor_node() {
        None => good(
            "hypervisor",
            "this system's hypervisor is a library, not a device file",
        ),
        Some((path, Ok(()))) => good("hypervisor", format!("{path} can be opened")),
        Some((path, Err(error))) if error.kind() == std::io::ErrorKind::PermissionDenied => finding(
            Severity::Warning,
            "hypervisor",
            format!("{path} cannot be opened: {error}"),
            "add yourself to its group (`sudo usermod -aG kvm $USER`) and log in again; until then machines are emulated",
        ),
        Some((path, Err(error))) => finding(
            Severity::Warning,
            "hypervisor",
            format!("{path} cannot be opened: {error}"),
            "turn virtualization on in the firmware and load the kernel's KVM module; until then machines are emulated",
        ),
    }
}

fn cryptography() -> Finding {
    match store::check_tls() {
        Ok(()) => good("cryptography", "this processor has the instructions for it"),
        Err(error) => finding(
            Severity::Warning,
            "cryptography",
            error.to_string(),
            "registries that are reached by TLS cannot be pulled from on this computer",
        ),
    }
}

async fn acceleration(machine: &Machine) -> Finding {
    let report = machine.report().await;
    let subject = format!("linux/{} acceleration", machine.architecture());
    let native = Architecture::of_host() == Some(machine.architecture());
    match report.accelerator {
        Some(Accelerator::Tcg) if native => finding(
            Severity::Warning,
            subject,
            report.why,
            "containers run, slower than they could: give sampan a hypervisor that uses the hardware",
        ),
        Some(_) => good(subject, report.why),
        None => finding(
            if machine.settings.default {
                Severity::Error
            } else {
                Severity::Warning
            },
            subject,
            format!("the machine {}", report.why),
            "do what the finding says",
        ),
    }
}

fn qemu(architecture: Architecture, default: bool) -> Finding {
    let subject = format!("QEMU for linux/{architecture}");
    match vmm::find_qemu(architecture) {
        Some(path) => good(subject, path.display().to_string()),
        None => finding(
            Severity::Warning,
            subject,
            format!("qemu-system-{} is not in PATH", architecture.kernel_name()),
            if default {
                "needed only where no hypervisor can run the machine: install QEMU from your system's packages"
            } else {
                "needed only for containers of this architecture: install QEMU from your system's packages"
            },
        ),
    }
}

fn files(machine: &Machine) -> Vec<Finding> {
    let settings = &machine.settings;
    [("kernel", &settings.kernel), ("initramfs", &settings.initramfs)]
        .into_iter()
        .map(|(what, path)| {
            let subject = format!("linux/{} {what}", settings.architecture);
            match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {
                    let mebibytes = metadata.len() as f64 / f64::from(1u32 << 20);
                    good(subject, format!("{} ({mebibytes:.1} MiB)", path.display()))
                }
                Ok(_) => finding(
                    Severity::Error,
                    subject,
                    format!("{} is no file, or an empty one", path.display()),
                    "install sampan again, or set SAMPAN_SHARE to the folder with kernels and initramfs",
                ),
                Err(error) => finding(
                    if settings.default {
                        Severity::Error
                    } else {
                        Severity::Warning
                    },
                    subject,
                    format!("{}: {error}", path.display()),
                    "install sampan again, or set SAMPAN_SHARE to the folder with kernels and initramfs",
                ),
            }
        })
        .collect()
}

async fn state(machine: &Machine) -> Finding {
    let report = machine.report().await;
    let subject = format!("linux/{} machine", machine.architecture());
    match (report.pid, report.last_error) {
        (Some(pid), _) => good(
            subject,
            format!(
                "running as process {pid}, kernel {}",
                report.kernel_release.unwrap_or_default()
            ),
        ),
        (None, Some(error)) => finding(
            Severity::Warning,
            subject,
            format!("stopped; the last time it {error}"),
            format!(
                "the next container boots it again; {}/console.log and vmm.log tell more",
                report.directory
            ),
        ),
        (None, None) => good(subject, "stopped; the first container boots it"),
    }
}

fn disk(home: &Path) -> Finding {
    let Some(free) = sys::free_disk_bytes(home) else {
        return good("disk", "free space is not looked at on this system");
    };
    let text = format!(
        "{:.1} GiB free for {}",
        free as f64 / f64::from(1u32 << 30),
        home.display()
    );
    if free < NO_DISK {
        finding(
            Severity::Error,
            "disk",
            text,
            "free some space, or remove images and containers",
        )
    } else if free < LITTLE_DISK {
        finding(
            Severity::Warning,
            "disk",
            text,
            "images and containers may soon have no room",
        )
    } else {
        good("disk", text)
    }
}

fn sockets(inner: &Inner) -> Finding {
    let longest = inner
        .config
        .home
        .join("machines")
        .join("arm64")
        .join("vsock_1025");
    let length = longest.as_os_str().len();
    if length > sys::socket_path_limit() {
        return finding(
            Severity::Error,
            "sockets",
            format!(
                "{} has {length} bytes, and a socket's path may have {}",
                longest.display(),
                sys::socket_path_limit()
            ),
            "set SAMPAN_HOME to a shorter path",
        );
    }
    good("sockets", "paths fit")
}

fn permissions(home: &Path) -> Finding {
    match sys::is_private(home) {
        Ok(true) => good("home", format!("{} is its owner's alone", home.display())),
        Ok(false) => finding(
            Severity::Warning,
            "home",
            format!("{} can be looked into by others", home.display()),
            format!("chmod 700 {}", home.display()),
        ),
        Err(error) => finding(
            Severity::Error,
            "home",
            format!("{}: {error}", home.display()),
            "set SAMPAN_HOME",
        ),
    }
}
