//! Linux and macOS.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::Memory;

pub(crate) type ReadHalf = OwnedReadHalf;
pub(crate) type WriteHalf = OwnedWriteHalf;

/// A local socket that accepts streams. Its file stays when it is dropped, refusing connections: by then the
/// path may already be the next machine's.
#[derive(Debug)]
pub(crate) struct Listener(UnixListener);

impl Listener {
    /// Listens at `path`, in the place of what an earlier process left there. The caller holds the lock that
    /// tells that this process is gone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        UnixListener::bind(path).map(Self)
    }

    /// The next connection. Safe to cancel.
    pub(crate) async fn accept(&self) -> io::Result<(ReadHalf, WriteHalf)> {
        let (stream, _) = self.0.accept().await?;
        Ok(stream.into_split())
    }
}

/// The longest path of a local socket in bytes: `sun_path` less its NUL, of the smaller system (macOS, 104).
pub(crate) const fn socket_path_limit() -> usize {
    if cfg!(target_os = "linux") { 107 } else { 103 }
}

/// Makes a folder, and those above it, that only its owner can look into.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Whether only its owner can look into a folder.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

/// Makes a rename or a new name in the folder durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Bytes that an unprivileged user can still write to the disk that holds `path`.
pub(crate) fn free_disk_bytes(path: &Path) -> Option<u64> {
    let figures = rustix::fs::statvfs(path).ok()?;
    figures.f_bavail.checked_mul(figures.f_frsize)
}

/// Keeps signals of the service's terminal, such as Ctrl-C, from the child: it ends when its stdin does.
pub(crate) fn prepare_child(command: &mut tokio::process::Command) {
    command.process_group(0);
}

/// The device that the host's hypervisor is used through, and whether this user may open it.
pub(crate) fn hypervisor_node() -> Option<(&'static str, io::Result<()>)> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let path = "/dev/kvm";
    Some((path, File::options().read(true).write(true).open(path).map(drop)))
}

/// The system's name and release, as uname(2) tells them, with the distribution where there is one.
pub(crate) fn system() -> (String, String) {
    let names = rustix::system::uname();
    let release = names.release().to_string_lossy();
    let machine = names.machine().to_string_lossy();
    let distribution = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let distribution = distribution
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| format!(", {}", name.trim_matches('"')))
        .unwrap_or_default();
    (
        names.sysname().to_string_lossy().into_owned(),
        format!("{release} {machine}{distribution}"),
    )
}

/// The computer's memory, where the system tells it by a file (Linux, proc_meminfo(5)).
pub(crate) fn memory() -> Option<Memory> {
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn meminfo(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    Some(Memory {
        total: field("MemTotal:")?,
        available: field("MemAvailable:")?,
    })
}

/// What a file takes on the disk, which for one with holes is less than its length.
pub(crate) fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_table() {
        let text = "MemTotal:        8056384 kB\nMemFree:          123 kB\nMemAvailable:    6000000 kB\n";
        let expected = Memory {
            total: 8_056_384 << 10,
            available: 6_000_000 << 10,
        };
        assert_eq!(meminfo(text), Some(expected));
        assert_eq!(meminfo("MemTotal: many kB\n"), None);
    }
}
