//! QEMU, which emulates machines that no hypervisor here runs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use protocol::Architecture;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::types::Finding;

/// The oldest version that sampan is tested with.
const OLDEST: (u32, u32) = (7, 2);
/// How long QEMU may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of its answer that are read.
const LONGEST_ANSWER: u64 = 4 << 10;

pub(super) async fn finding(architecture: Architecture, default: bool) -> Finding {
    match vmm::find_qemu(architecture) {
        None => missing(architecture, default),
        Some(path) => {
            let answer = ask(&path).await;
            found(architecture, &path, answer.as_deref())
        }
    }
}

/// What `qemu --version` prints first, if it prints it soon.
async fn ask(program: &Path) -> Option<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut answer = Vec::new();
    let mut output = child.stdout.take()?.take(LONGEST_ANSWER);
    let read = tokio::time::timeout(PATIENCE, output.read_to_end(&mut answer));
    read.await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&answer);
    text.lines().next().map(|line| line.trim().to_owned())
}

fn subject(architecture: Architecture) -> String {
    format!("QEMU for linux/{architecture}")
}

fn missing(architecture: Architecture, default: bool) -> Finding {
    Finding::warning(
        subject(architecture),
        format!("qemu-system-{} is not in PATH", architecture.kernel_name()),
        if default {
            "needed only where no hypervisor can run the machine: install QEMU from your system's packages"
        } else {
            "needed only for containers of this architecture: install QEMU from your system's packages"
        },
    )
}

fn found(architecture: Architecture, path: &Path, answer: Option<&str>) -> Finding {
    let path = path.display();
    let Some((line, version)) = answer.and_then(|line| Some((line, version(line)?))) else {
        return Finding::warning(
            subject(architecture),
            format!("{path} does not tell its version as QEMU does"),
            format!(
                "run `{path} --version`, and install QEMU from your system's packages if it is another program"
            ),
        );
    };
    if version < OLDEST {
        return Finding::warning(
            subject(architecture),
            format!("{path} is version {}.{}", version.0, version.1),
            format!(
                "machines may not start with it: update QEMU to {}.{}, the oldest that sampan is tested with, or a newer one",
                OLDEST.0, OLDEST.1
            ),
        );
    }
    Finding::ok(subject(architecture), format!("{path}, {line}"))
}

/// `QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)`.
fn version(line: &str) -> Option<(u32, u32)> {
    let (_, version) = line.split_once("QEMU emulator version ")?;
    let version = version.split_whitespace().next()?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Severity;

    fn told(line: Option<&str>) -> Finding {
        found(Architecture::Arm64, Path::new("/bin/qemu-system-aarch64"), line)
    }

    #[test]
    fn a_version_is_read_from_the_first_line() {
        assert_eq!(
            version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"),
            Some((7, 2))
        );
        assert_eq!(version("QEMU emulator version 11.1.50"), Some((11, 1)));
        assert_eq!(version("busybox 1.36"), None);
        assert_eq!(version("QEMU emulator version x.y"), None);
    }

    #[test]
    fn a_qemu_that_is_too_old_is_told_with_the_version_to_have() {
        let new = told(Some("QEMU emulator version 7.2.0"));
        assert_eq!(new.severity, Severity::Ok);
        assert_eq!(
            new.finding,
            "/bin/qemu-system-aarch64, QEMU emulator version 7.2.0"
        );
        let old = told(Some("QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg)"));
        assert_eq!(old.severity, Severity::Warning);
        assert_eq!(old.finding, "/bin/qemu-system-aarch64 is version 6.2");
        assert!(old.advice.contains("update QEMU to 7.2"), "{old:?}");
    }

    #[test]
    fn another_program_of_its_name_is_told() {
        for answer in [None, Some("hello")] {
            assert_eq!(told(answer).severity, Severity::Warning);
        }
    }

    #[test]
    fn without_qemu_is_told_what_it_is_needed_for() {
        assert!(
            missing(Architecture::Amd64, true)
                .advice
                .contains("no hypervisor")
        );
        let other = missing(Architecture::Arm64, false);
        assert_eq!(other.finding, "qemu-system-aarch64 is not in PATH");
        assert!(other.advice.contains("this architecture"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_program_is_asked_and_what_it_says_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qemu");
        let script = "#!/bin/sh\necho \"QEMU emulator version 9.0.1 $1\"\nhead -c 100000 /dev/zero\n";
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(ask(&path).await.unwrap(), "QEMU emulator version 9.0.1 --version");
        assert_eq!(ask(&folder.path().join("nothing")).await, None);
    }
}
