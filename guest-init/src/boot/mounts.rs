//! The guest's own mounts and the cgroup v2 tree.
//!
//! The kernel's first root, the initramfs, cannot be left by pivot_root(2), which is how containers get a root
//! of their own. So a bind mount of it is put on top and becomes the root: a mount like any other. It ends up
//! read-only, which also keeps this very program from being overwritten through /proc/<pid>/exe.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move, mount_remount};
use rustix::process::{chdir, chroot};

use super::Disk;

/// Where image layers are mounted, by the hexadecimal digits of their diff ID.
pub(crate) const LAYERS: &str = "/run/layers";
/// The lower directory of a container without any layer.
pub(crate) const EMPTY_LOWER: &str = "/run/empty";
/// Where a container, in its own mount namespace, puts its root before it makes it `/`.
pub(crate) const ROOT_STAGE: &str = "/run/root";
/// Where a container, in its own mount namespace, writes its files for /etc.
pub(crate) const ETC_STAGE: &str = "/run/etc";
/// Where the names of networks are.
pub(crate) const NAMES: &str = "/run/names";
/// The cgroup under which every container has one of its own.
pub(crate) const CONTAINERS_CGROUP: &str = "/sys/fs/cgroup/containers";

const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// A mount of the guest's own.
struct Basic {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    options: Option<&'static CStr>,
}

/// Mounts all but the data disk, and hands the cgroup controllers down to the containers.
pub(super) fn mount_all(problems: &mut Vec<String>) {
    let closed = MountFlags::NOSUID
        .union(MountFlags::NODEV)
        .union(MountFlags::NOEXEC);
    let basics = [
        Basic {
            kind: "devtmpfs",
            target: "/dev",
            flags: MountFlags::NOSUID,
            options: None,
        },
        Basic {
            kind: "proc",
            target: "/proc",
            flags: closed,
            options: None,
        },
        Basic {
            kind: "sysfs",
            target: "/sys",
            flags: closed,
            options: None,
        },
        Basic {
            kind: "tmpfs",
            target: "/run",
            flags: MountFlags::NOSUID.union(MountFlags::NODEV),
            options: Some(c"mode=755"),
        },
        Basic {
            kind: "cgroup2",
            target: CGROUP_ROOT,
            flags: closed,
            options: Some(c"nsdelegate"),
        },
    ];
    if let Err(errno) = cover_root(&["/dev", "/proc", "/sys", "/run", "/data"]) {
        problems.push(format!("the root could not be prepared: {errno}"));
    }
    for basic in basics {
        if let Err(errno) = mount(basic.kind, basic.target, basic.kind, basic.flags, basic.options) {
            problems.push(format!(
                "{} could not be mounted on {}: {errno}",
                basic.kind, basic.target
            ));
        }
        if basic.kind == "devtmpfs" {
            fill_standard_streams(problems);
        }
    }
    for directory in [LAYERS, EMPTY_LOWER, ROOT_STAGE, ETC_STAGE, NAMES] {
        if let Err(error) = fs::create_dir_all(directory) {
            problems.push(format!("{directory} could not be made: {error}"));
        }
    }
    if let Err(errno) = mount_remount("/", MountFlags::RDONLY, "") {
        problems.push(format!("the root could not be made read-only: {errno}"));
    }
    if let Err(error) = delegate_controllers() {
        problems.push(format!(
            "the cgroup controllers could not be handed to containers: {error}"
        ));
    }
}

/// Puts a bind mount of the initramfs, with these directories in it, on top of it as the root.
fn cover_root(directories: &[&str]) -> Result<(), Errno> {
    const COVER: &str = "/cover";
    for directory in directories.iter().chain([&COVER]) {
        match rustix::fs::mkdir(*directory, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    mount_bind("/", COVER)?;
    chdir(COVER)?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")
}

/// Gives standard input, output and error a descriptor each, so that nothing else ever gets 0, 1 or 2.
fn fill_standard_streams(problems: &mut Vec<String>) {
    use std::os::fd::{AsRawFd, IntoRawFd};
    loop {
        match open("/dev/null", OFlags::RDWR, Mode::empty()) {
            Ok(fd) if fd.as_raw_fd() > 2 => return,
            Ok(fd) => drop(fd.into_raw_fd()),
            Err(errno) => {
                problems.push(format!("/dev/null could not be opened: {errno}"));
                return;
            }
        }
    }
}

/// Makes the containers' cgroup and enables every controller in it. PID 1 and the shims stay in the root
/// cgroup, the one cgroup that may have both processes and controllers.
fn delegate_controllers() -> std::io::Result<()> {
    let controllers = fs::read_to_string(Path::new(CGROUP_ROOT).join("cgroup.controllers"))?;
    let enable: Vec<String> = controllers
        .split_whitespace()
        .map(|name| format!("+{name}"))
        .collect();
    let enable = enable.join(" ");
    fs::write(Path::new(CGROUP_ROOT).join("cgroup.subtree_control"), &enable)?;
    fs::create_dir(CONTAINERS_CGROUP)?;
    fs::write(
        Path::new(CONTAINERS_CGROUP).join("cgroup.subtree_control"),
        &enable,
    )
}

/// Mounts the data disk on /data. Space that is freed there is freed on the host.
pub(super) fn mount_data(disk: &Disk) -> Result<(), Errno> {
    let flags = MountFlags::NOSUID.union(MountFlags::NODEV);
    mount(disk.path(), "/data", "ext4", flags, c"discard")
}
