//! Machines: what they boot, what they keep, and how the one that runs is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use protocol::Architecture;

use super::{count, severity, size};
use crate::config::EngineConfig;
use crate::engine::Inner;
use crate::machine::{Examined, Machine};
use crate::sys;
use crate::types::{Finding, MachineReport};

/// Where an ext4 file system says that it is one: the superblock's `s_magic`.
const MAGIC_OFFSET: u64 = 1024 + 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];
/// A clock that is off by more than this many seconds is told.
const CLOCK_TOLERANCE: u64 = 2;
/// Less room than this in a hundred parts of a data disk is little.
const LITTLE_ROOM: u64 = 5;

/// Kernel and initramfs.
pub(super) fn files(config: &EngineConfig, architecture: Architecture) -> [Finding; 2] {
    let default = architecture == config.architecture;
    [
        file(architecture, "kernel", &config.kernel(architecture), default),
        file(
            architecture,
            "initramfs",
            &config.initramfs(architecture),
            default,
        ),
    ]
}

fn file(architecture: Architecture, what: &str, path: &Path, default: bool) -> Finding {
    const ADVICE: &str = "install sampan again, or set SAMPAN_SHARE to the folder with kernels and initramfs";
    let subject = format!("linux/{architecture} {what}");
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {
            Finding::ok(subject, format!("{} ({})", path.display(), size(metadata.len())))
        }
        Ok(_) => Finding::new(
            severity(default),
            subject,
            format!("{} is no file, or an empty one", path.display()),
            ADVICE,
        ),
        Err(error) => Finding::new(
            severity(default),
            subject,
            format!("{}: {error}", path.display()),
            ADVICE,
        ),
    }
}

/// The machine itself, its data disk, and what its guest says if it runs.
pub(super) async fn findings(inner: &Inner, machine: &Machine) -> Vec<Finding> {
    let architecture = machine.architecture();
    let report = machine.report().await;
    let mut findings = vec![state(&report)];
    let path = machine.settings.data_disk();
    findings.push(data_disk(
        architecture,
        &path,
        look_at(&path),
        lying_on(inner, architecture),
    ));
    if let Some(guest) = machine.running() {
        match guest.examine().await {
            Ok(examined) => findings.extend([clock(architecture, &examined), room(architecture, &examined)]),
            Err(error) => findings.push(silent(architecture, &error.to_string())),
        }
    }
    findings
}

fn state(report: &MachineReport) -> Finding {
    let subject = format!("linux/{} machine", report.architecture);
    match (report.pid, &report.last_error) {
        (Some(pid), _) => Finding::ok(
            subject,
            format!(
                "running as process {pid}, kernel {}",
                report.kernel_release.as_deref().unwrap_or_default()
            ),
        ),
        (None, Some(error)) => Finding::warning(
            subject,
            format!("stopped; the last time it {error}"),
            format!(
                "the next container boots it again; {}/console.log and vmm.log tell more",
                report.directory
            ),
        ),
        (None, None) => Finding::ok(subject, "stopped; the first container boots it"),
    }
}

/// The containers and volumes that have files in a machine.
#[derive(Clone, Copy, Debug, Default)]
struct Lying {
    containers: usize,
    volumes: usize,
}

fn lying_on(inner: &Inner, architecture: Architecture) -> Lying {
    let containers = inner.registry.all();
    let ran = containers.iter().filter(|container| {
        container.with_record(|record| record.architecture == architecture && record.ran)
    });
    Lying {
        containers: ran.count(),
        volumes: inner.volumes.lying_in(architecture),
    }
}

/// A data disk as a file.
#[derive(Debug)]
struct Disk {
    length: u64,
    allocated: u64,
    ext4: bool,
}

fn look_at(path: &Path) -> io::Result<Disk> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut magic = [0; 2];
    file.seek(SeekFrom::Start(MAGIC_OFFSET))?;
    let read = file.read_exact(&mut magic);
    Ok(Disk {
        length: metadata.len(),
        allocated: sys::allocated_bytes(&metadata),
        ext4: read.is_ok() && magic == MAGIC,
    })
}

fn data_disk(architecture: Architecture, path: &Path, disk: io::Result<Disk>, lying: Lying) -> Finding {
    let subject = format!("linux/{architecture} data disk");
    let shown = path.display();
    let lost = || {
        format!(
            "{} and {} had their files on it",
            count(lying.containers, "container"),
            count(lying.volumes, "volume")
        )
    };
    match disk {
        Ok(disk) if disk.ext4 => Finding::ok(
            subject,
            format!(
                "{shown} takes {} of at most {}",
                size(disk.allocated),
                size(disk.length)
            ),
        ),
        Ok(_) => Finding::error(
            subject,
            format!("{shown} holds no ext4 file system; {}", lost()),
            format!(
                "put it back from a backup while the service is stopped; or move it away, and the next boot makes an \
                 empty one: `sampan service stop`, then `mv {shown} {shown}.broken`"
            ),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if lying.containers + lying.volumes == 0 {
                return Finding::ok(subject, "none yet; the first boot makes it");
            }
            Finding::error(
                subject,
                format!("{shown} is missing; {}", lost()),
                "put it back from a backup before a container boots the machine; else the machine begins with an empty \
                 one, and these containers and volumes with nothing",
            )
        }
        Err(error) => Finding::error(
            subject,
            format!("{shown}: {error}"),
            "give your user the right to read and write it",
        ),
    }
}

fn silent(architecture: Architecture, error: &str) -> Finding {
    Finding::warning(
        format!("linux/{architecture} guest"),
        format!("the guest does not tell how it is: {error}"),
        "`sampan machine stop` ends it and the containers in it; console.log in the machine's folder may tell why",
    )
}

/// A laptop that slept leaves its machines behind.
fn clock(architecture: Architecture, examined: &Examined) -> Finding {
    let subject = format!("linux/{architecture} clock");
    let seconds = examined.clock_off_by_ns.unsigned_abs() / 1_000_000_000;
    if seconds <= CLOCK_TOLERANCE {
        return Finding::ok(subject, "the guest's clock is the computer's");
    }
    let side = if examined.clock_off_by_ns < 0 {
        "behind"
    } else {
        "ahead of"
    };
    Finding::warning(
        subject,
        format!("the guest's clock is {seconds} seconds {side} the computer's"),
        format!(
            "`sampan machine stop --arch {architecture}`; the next container boots the machine with the right time"
        ),
    )
}

/// What containers still can write.
fn room(architecture: Architecture, examined: &Examined) -> Finding {
    let subject = format!("linux/{architecture} room");
    let (all, free) = (examined.diagnosis.disk_bytes, examined.diagnosis.disk_free);
    let text = format!("containers and volumes have {} of {} left", size(free), size(all));
    if free.saturating_mul(100) < all.saturating_mul(LITTLE_ROOM) {
        return Finding::warning(
            subject,
            text,
            "remove containers and volumes that are not needed: `sampan system prune --volumes`",
        );
    }
    Finding::ok(subject, text)
}

#[cfg(test)]
mod tests {
    use protocol::Diagnosis;
    use tempfile::TempDir;

    use super::*;
    use crate::types::Severity;

    const ARM: Architecture = Architecture::Arm64;

    #[test]
    fn a_kernel_that_is_missing_or_empty_is_an_error_for_the_default_machine() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("kernel-arm64");
        let missing = file(ARM, "kernel", &path, true);
        assert_eq!(
            (missing.severity, missing.subject.as_str()),
            (Severity::Error, "linux/arm64 kernel")
        );
        assert!(missing.advice.contains("SAMPAN_SHARE"));
        assert_eq!(file(ARM, "kernel", &path, false).severity, Severity::Warning);
        std::fs::write(&path, "").unwrap();
        assert_eq!(file(ARM, "kernel", &path, true).severity, Severity::Error);
        std::fs::write(&path, "kernel").unwrap();
        assert_eq!(file(ARM, "kernel", &path, true).severity, Severity::Ok);
    }

    fn disk(path: &Path, containers: usize) -> Finding {
        let lying = Lying {
            containers,
            volumes: 1,
        };
        data_disk(ARM, path, look_at(path), lying)
    }

    #[test]
    fn a_data_disk_that_is_missing_is_an_error_where_something_was_on_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data.img");
        let fresh = data_disk(ARM, &path, look_at(&path), Lying::default());
        assert_eq!(fresh.severity, Severity::Ok);
        let lost = disk(&path, 2);
        assert_eq!(lost.severity, Severity::Error);
        assert!(lost.finding.contains("2 containers and 1 volume had"), "{lost:?}");
    }

    #[test]
    fn a_data_disk_without_a_file_system_is_an_error() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data.img");
        std::fs::write(&path, [0; 512]).unwrap();
        assert_eq!(disk(&path, 0).severity, Severity::Error);
        std::fs::remove_file(&path).unwrap();
        let file = File::create_new(&path).unwrap();
        let options = ext4::Options {
            bytes: 256 << 20,
            uuid: [1; 16],
            label: "sampan".to_owned(),
            created: std::time::SystemTime::now(),
        };
        ext4::format(&file, &options).unwrap();
        let good = disk(&path, 0);
        assert_eq!(good.severity, Severity::Ok);
        assert!(good.finding.ends_with("of at most 256.0 MiB"), "{good:?}");
    }

    fn examined(clock_off_by_ns: i64, disk_free: u64) -> Examined {
        Examined {
            clock_off_by_ns,
            diagnosis: Diagnosis {
                unix_time_ns: 0,
                kernel_log: String::new(),
                disk_bytes: 100 << 20,
                disk_free,
            },
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_how_far() {
        assert_eq!(clock(ARM, &examined(1_500_000_000, 0)).severity, Severity::Ok);
        let behind = clock(ARM, &examined(-3_600_000_000_000, 0));
        assert_eq!(behind.severity, Severity::Warning);
        assert!(behind.finding.contains("3600 seconds behind"), "{behind:?}");
        assert!(behind.advice.contains("machine stop --arch arm64"), "{behind:?}");
        let ahead = clock(ARM, &examined(5_000_000_000, 0));
        assert!(ahead.finding.contains("5 seconds ahead of"), "{ahead:?}");
    }

    #[test]
    fn a_data_disk_that_fills_is_told() {
        assert_eq!(room(ARM, &examined(0, 50 << 20)).severity, Severity::Ok);
        let full = room(ARM, &examined(0, 4 << 20));
        assert_eq!(full.severity, Severity::Warning);
        assert_eq!(
            full.finding,
            "containers and volumes have 4.0 MiB of 100.0 MiB left"
        );
    }

    fn report(pid: Option<u32>, last_error: Option<&str>) -> MachineReport {
        MachineReport {
            architecture: ARM,
            state: crate::types::MachineState::Stopped,
            default: true,
            accelerator: None,
            why: String::new(),
            cpus: 1,
            memory_mib: 512,
            directory: "/m".to_owned(),
            kernel: String::new(),
            initramfs: String::new(),
            kernel_release: Some("6.12.1".to_owned()),
            pid,
            boot_ms: None,
            start_ms: None,
            containers: 0,
            inspection: None,
            last_error: last_error.map(str::to_owned),
        }
    }

    #[test]
    fn a_machine_that_ended_by_itself_is_a_warning_until_it_runs_again() {
        assert_eq!(state(&report(None, None)).severity, Severity::Ok);
        let crashed = state(&report(None, Some("crashed")));
        assert_eq!(crashed.severity, Severity::Warning);
        assert_eq!(crashed.finding, "stopped; the last time it crashed");
        assert!(crashed.advice.contains("/m/console.log"), "{crashed:?}");
        let running = state(&report(Some(7), Some("crashed")));
        assert_eq!(running.finding, "running as process 7, kernel 6.12.1");
        assert_eq!(silent(ARM, "no answer").severity, Severity::Warning);
    }
}
