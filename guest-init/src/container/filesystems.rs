//! The file systems that every container has (OCI runtime spec, "Default Filesystems" and "Default Devices"),
//! and those of the spec's own list.

use std::os::fd::OwnedFd;
use std::path::Path;

use protocol::{ContainerSpec, Mount};
use rustix::fs::{CWD, FileType, Mode, chmod, makedev, mknodat, symlink};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::inside::Parts;
use super::mounting::{self, attach, create};
use super::volume::Opened;
use crate::failure::{Context, Outcome, invalid};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
const CLOSED: MountAttrFlags = NOSUID.union(NODEV).union(NOEXEC);

/// A node that was looked up in the guest's /dev while that could be seen.
pub(super) struct Node {
    pub(super) target: String,
    pub(super) kind: FileType,
    pub(super) device: u64,
}

/// /proc and /sys, which have to be the container's own. The latter can be written by the privileged alone.
pub(super) fn mount_kernel(privileged: bool) -> Outcome<()> {
    let sealed = if privileged { CLOSED } else { CLOSED | RDONLY };
    put(
        &create("proc", &[], CLOSED)?,
        &mounting::plain_directory("/proc")?,
        "/proc",
    )?;
    put(
        &create("sysfs", &[], sealed)?,
        &mounting::plain_directory("/sys")?,
        "/sys",
    )?;
    // Shows the cgroup that is the root of the cgroup namespace: by now that is the container's, unless it shares the
    // machine's.
    put(
        &create("cgroup2", &[], sealed)?,
        &mounting::plain_directory("/sys/fs/cgroup")?,
        "/sys/fs/cgroup",
    )
}

/// /dev with all that is in it. With a console the first terminal is /dev/console too.
pub(super) fn mount_dev(spec: &ContainerSpec, parts: &Parts<'_>, nodes: &[Node]) -> Outcome<()> {
    let &Parts {
        terminals,
        console,
        shm,
        ..
    } = parts;
    let settings = [("mode", Some("755")), ("size", Some("65536k"))];
    let dev = create(
        "tmpfs",
        &settings,
        NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME,
    )?;
    put(&dev, &mounting::plain_directory("/dev")?, "/dev")?;
    let standard = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ];
    for (name, major, minor) in standard {
        make_node(
            &format!("/dev/{name}"),
            FileType::CharacterDevice,
            makedev(major, minor),
        )?;
    }
    for node in nodes {
        if let Some(parent) = Path::new(&node.target).parent() {
            mounting::directory(parent)?;
        }
        make_node(&node.target, node.kind, node.device)?;
    }
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("/proc/kcore", "/dev/core"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for (target, link) in links {
        symlink(target, link).context(|| format!("symlink {link}"))?;
    }
    put(
        terminals,
        &mounting::directory(Path::new("/dev/pts"))?,
        "/dev/pts",
    )?;
    if console {
        let first = mounting::copy_of("/dev/pts/0", false).context(|| "/dev/console".to_owned())?;
        put(
            &first,
            &mounting::file(Path::new("/dev/console"))?,
            "/dev/console",
        )?;
    }
    let target = mounting::directory(Path::new("/dev/shm"))?;
    match shm {
        Some(shm) => attach(shm, &target).context(|| "mounting on /dev/shm".to_owned())?,
        None => {
            let size = spec.shm_bytes.to_string();
            let settings = [("mode", Some("1777")), ("size", Some(size.as_str()))];
            put(&create("tmpfs", &settings, CLOSED)?, &target, "/dev/shm")?;
        }
    }
    put(
        &create("mqueue", &[], CLOSED)?,
        &mounting::directory(Path::new("/dev/mqueue"))?,
        "/dev/mqueue",
    )
}

/// The mounts of the spec, parents before children. `volumes` are those among them, opened before the root
/// changed, in the same order.
pub(super) fn mount_listed(mounts: &[Mount], volumes: Vec<Opened>) -> Outcome<()> {
    let mut volumes = volumes.into_iter();
    let mut ordered: Vec<_> = mounts
        .iter()
        .map(|mount| {
            let volume = match mount {
                Mount::Volume { .. } => volumes.next(),
                Mount::Tmpfs { .. } => None,
            };
            (mounting::cleaned(mount.target()), mount, volume)
        })
        .collect();
    ordered.sort_by_key(|(target, ..)| target.components().count());
    for (path, mount, volume) in ordered {
        let name = path.display().to_string();
        let target = mounting::directory(&path)?;
        mounting::refuse_proc(&target, &name)?;
        match (mount, volume) {
            (Mount::Tmpfs { options, .. }, _) => put(&tmpfs(options)?, &target, &name)?,
            (Mount::Volume { .. }, Some(volume)) => volume.put(&target, &path)?,
            (Mount::Volume { .. }, None) => return Err(invalid(format!("{name} has no volume"))),
        }
    }
    Ok(())
}

/// A tmpfs with mount(8) options.
fn tmpfs(options: &[String]) -> Outcome<OwnedFd> {
    let mut attributes = CLOSED;
    let mut settings: Vec<(&str, Option<&str>)> = Vec::new();
    for option in options
        .iter()
        .flat_map(|options| options.split(','))
        .filter(|option| !option.is_empty())
    {
        match option {
            "rw" => attributes -= RDONLY,
            "ro" => attributes |= RDONLY,
            "suid" => attributes -= NOSUID,
            "nosuid" => attributes |= NOSUID,
            "dev" => attributes -= NODEV,
            "nodev" => attributes |= NODEV,
            "exec" => attributes -= NOEXEC,
            "noexec" => attributes |= NOEXEC,
            "noatime" => attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME,
            "nodiratime" => attributes |= MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            "relatime" | "defaults" | "private" | "rprivate" => {}
            _ => match option.split_once('=') {
                Some((
                    name @ ("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol"),
                    value,
                )) => {
                    settings.push((name, Some(value)));
                }
                _ => return Err(invalid(format!("invalid tmpfs option {option:?}"))),
            },
        }
    }
    create("tmpfs", &settings, attributes)
}

fn put(mount: &OwnedFd, target: &OwnedFd, name: &str) -> Outcome<()> {
    attach(mount, target).context(|| format!("mounting on {name}"))
}

fn make_node(path: &str, kind: FileType, device: u64) -> Outcome<()> {
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(CWD, path, kind, mode, device) {
        // Made already by the list of standard nodes.
        Ok(()) | Err(Errno::EXIST) => chmod(path, mode).context(|| format!("chmod {path}")),
        Err(errno) => Err(errno).context(|| format!("mknod {path}")),
    }
}
