//! The computer itself.

use std::io;

use protocol::Architecture;
use vmm::control::Accelerator;

use super::{severity, size};
use crate::acceleration::Chosen;
use crate::sys::{self, Memory};
use crate::types::Finding;

/// The first Darwin that has the hypervisor interface for an interrupt controller: that of macOS 15.
const OLDEST_DARWIN: u32 = 24;

pub(super) fn system() -> Finding {
    let (name, release) = sys::system();
    system_of(&name, &release)
}

fn system_of(name: &str, release: &str) -> Finding {
    let text = format!("{name} {release}").trim().to_owned();
    let major = release
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if name == "Darwin" && major.is_some_and(|major| major < OLDEST_DARWIN) {
        return Finding::error(
            "system",
            format!("{text} is older than macOS 15"),
            "update macOS: its hypervisor has what a machine needs from 15 on",
        );
    }
    Finding::ok("system", text)
}

pub(super) fn hypervisor() -> Finding {
    match sys::hypervisor_node() {
        None => Finding::ok(
            "hypervisor",
            "this system's hypervisor is a library, not a device file",
        ),
        Some((path, opened)) => hypervisor_of(path, opened),
    }
}

fn hypervisor_of(path: &str, opened: io::Result<()>) -> Finding {
    match opened {
        Ok(()) => Finding::ok("hypervisor", format!("{path} can be opened")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::warning(
            "hypervisor",
            format!("{path} cannot be opened: {error}"),
            "add yourself to its group (`sudo usermod -aG kvm $USER`) and log in again; until then machines are emulated",
        ),
        Err(error) => Finding::warning(
            "hypervisor",
            format!("{path} cannot be opened: {error}"),
            "turn virtualization on in the firmware and load the kernel's KVM module; until then machines are emulated",
        ),
    }
}

pub(super) fn cryptography() -> Finding {
    cryptography_of(store::check_tls().map_err(|error| error.to_string()))
}

fn cryptography_of(checked: Result<(), String>) -> Finding {
    match checked {
        Ok(()) => Finding::ok("cryptography", "this processor has the instructions for it"),
        Err(error) => Finding::warning(
            "cryptography",
            error,
            "registries that are reached by TLS cannot be pulled from on this computer",
        ),
    }
}

pub(super) fn acceleration(
    architecture: Architecture,
    default: bool,
    chosen: Result<Chosen, String>,
) -> Finding {
    let subject = format!("linux/{architecture} acceleration");
    let native = Architecture::of_host() == Some(architecture);
    match chosen {
        Ok(chosen) if chosen.accelerator == Accelerator::Tcg && native => Finding::warning(
            subject,
            chosen.why,
            "containers run, slower than they could: give sampan a hypervisor that uses the hardware",
        ),
        Ok(chosen) => Finding::ok(subject, chosen.why),
        Err(why) => Finding::new(
            severity(default),
            subject,
            format!("the machine {why}"),
            "do what the finding says",
        ),
    }
}

pub(super) fn memory(machine_mib: u32) -> Finding {
    memory_of(machine_mib, sys::memory())
}

/// A machine takes from the host what its guest uses, up to its size.
fn memory_of(machine_mib: u32, host: Option<Memory>) -> Finding {
    const SUBJECT: &str = "memory";
    let machine = u64::from(machine_mib) << 20;
    let Some(Memory { total, available }) = host else {
        return Finding::ok(
            SUBJECT,
            format!(
                "a machine may use {}; the computer's own is not looked at on this system",
                size(machine)
            ),
        );
    };
    let text = format!(
        "a machine may use {} of the computer's {}, of which {} are free now",
        size(machine),
        size(total),
        size(available)
    );
    if machine >= total {
        Finding::error(
            SUBJECT,
            text,
            "give machines less with `sampan machine start --memory`, such as half of what the computer has",
        )
    } else if machine > available {
        Finding::warning(
            SUBJECT,
            text,
            "end programs that use much of it, or give machines less with `sampan machine start --memory`",
        )
    } else {
        Finding::ok(SUBJECT, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Severity;

    #[test]
    fn a_system_that_lacks_what_a_machine_needs_is_told() {
        assert_eq!(system_of("Darwin", "23.6.0").severity, Severity::Error);
        assert_eq!(system_of("Darwin", "24.0.0").severity, Severity::Ok);
        let linux = system_of("Linux", "6.1.0-18-amd64");
        assert_eq!(
            (linux.severity, linux.finding.as_str()),
            (Severity::Ok, "Linux 6.1.0-18-amd64")
        );
    }

    #[test]
    fn this_system_has_a_name() {
        assert!(!system().finding.is_empty());
    }

    #[test]
    fn a_hypervisor_that_may_not_be_opened_is_another_matter_than_one_that_is_not_there() {
        assert_eq!(hypervisor_of("/dev/kvm", Ok(())).severity, Severity::Ok);
        let forbidden = hypervisor_of("/dev/kvm", Err(io::ErrorKind::PermissionDenied.into()));
        assert!(forbidden.advice.contains("usermod"), "{forbidden:?}");
        let missing = hypervisor_of("/dev/kvm", Err(io::ErrorKind::NotFound.into()));
        assert!(missing.advice.contains("firmware"), "{missing:?}");
    }

    #[test]
    fn a_processor_without_cryptography_is_told_with_what_does_not_work() {
        assert_eq!(cryptography_of(Ok(())).severity, Severity::Ok);
        let lacking = cryptography_of(Err("no AES".to_owned()));
        assert_eq!(
            (lacking.severity, lacking.finding.as_str()),
            (Severity::Warning, "no AES")
        );
        assert!(lacking.advice.contains("TLS"));
    }

    #[test]
    fn emulation_is_a_warning_where_hardware_could_execute_and_no_machine_an_error() {
        let Some(own) = Architecture::of_host() else {
            return;
        };
        let foreign = match own {
            Architecture::Amd64 => Architecture::Arm64,
            Architecture::Arm64 => Architecture::Amd64,
        };
        let emulated = || {
            Ok(Chosen {
                accelerator: Accelerator::Tcg,
                why: "emulated".to_owned(),
            })
        };
        assert_eq!(acceleration(own, true, emulated()).severity, Severity::Warning);
        assert_eq!(acceleration(foreign, true, emulated()).severity, Severity::Ok);
        let none = || Err("cannot run: no QEMU".to_owned());
        let error = acceleration(own, true, none());
        assert_eq!(error.severity, Severity::Error);
        assert_eq!(error.finding, "the machine cannot run: no QEMU");
        assert_eq!(acceleration(foreign, false, none()).severity, Severity::Warning);
    }

    #[test]
    fn a_machine_larger_than_the_computer_is_an_error_and_one_larger_than_what_is_free_a_warning() {
        let host = |total: u64, available: u64| {
            Some(Memory {
                total: total << 20,
                available: available << 20,
            })
        };
        let severity = |host| memory_of(1024, host).severity;
        assert_eq!(severity(host(8192, 4096)), Severity::Ok);
        assert_eq!(severity(host(8192, 512)), Severity::Warning);
        assert_eq!(severity(host(1024, 900)), Severity::Error);
        assert_eq!(severity(None), Severity::Ok);
        assert_eq!(
            memory_of(1024, host(8192, 512)).finding,
            "a machine may use 1.0 GiB of the computer's 8.0 GiB, of which 512.0 MiB are free now"
        );
    }
}
