//! From a fresh clone to a container that is complete but for its program: runs in the child, in its new
//! namespaces, as the guest's root.
//!
//! What comes from the guest (device nodes, volumes, files for /etc, our own binary) is taken by descriptor before the
//! root changes. Everything after that resolves paths inside the container, where a symbolic link leads
//! nowhere else.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use protocol::{ContainerSpec, Namespace};
use rustix::fs::{CWD, FileType, Mode, OFlags, openat, stat, symlink};
use rustix::mount::MountAttrFlags;

use super::filesystems::{self, Node};
use super::mounting;
use super::{paths, root, volume};
use crate::boot::ETC_STAGE;
use crate::failure::{Context, Outcome, invalid};
use crate::sys::{ioctl, process};

/// Where the init of `--init` is in the container, as in Docker.
pub(super) const INIT: &str = "/sbin/docker-init";

/// What the shim made for the container.
pub(crate) struct Parts<'a> {
    pub(crate) root: BorrowedFd<'a>,
    pub(crate) terminals: &'a OwnedFd,
    /// Whether the first process has a terminal.
    pub(crate) console: bool,
    /// The /dev/shm of the container whose IPC namespace it shares.
    pub(crate) shm: Option<BorrowedFd<'a>>,
}

/// Builds the container around this process.
pub(crate) fn build(spec: &ContainerSpec, parts: &Parts<'_>) -> Outcome<()> {
    if spec.cgroup == Namespace::Own {
        process::unshare(libc::CLONE_NEWCGROUP).context(|| "cgroup namespace".to_owned())?;
    }
    let keyring =
        CString::new(format!("_ses.{}", spec.id)).map_err(|_| invalid("a NUL in the container's ID"))?;
    // A kernel without keyrings has no keys to hide.
    let _ = process::join_session_keyring(&keyring);
    if spec.uts == Namespace::Own {
        rustix::system::sethostname(spec.hostname.as_bytes())
            .context(|| format!("sethostname {:?}", spec.hostname))?;
        if !spec.domainname.is_empty() {
            rustix::system::setdomainname(spec.domainname.as_bytes())
                .context(|| format!("setdomainname {:?}", spec.domainname))?;
        }
    }

    let mut nodes = look_up_devices(spec)?;
    if spec.privileged {
        nodes.extend(all_devices()?);
    }
    let etc = stage_etc(&spec.etc_files)?;
    let init = if spec.init {
        Some(mounting::copy_of("/init", false).context(|| "/init".to_owned())?)
    } else {
        None
    };
    let volumes = volume::open_all(&spec.mounts)?;
    root::change_into(parts.root)?;

    filesystems::mount_kernel(spec.privileged)?;
    filesystems::mount_dev(spec, parts, &nodes)?;
    for (name, mount) in &etc {
        put_file(mount, &Path::new("/etc").join(name))?;
    }
    // Where mount(8) and df(1) look; an image that has one of its own keeps it.
    let _ = symlink("/proc/mounts", "/etc/mtab");
    filesystems::mount_listed(&spec.mounts, volumes)?;
    if let Some(init) = init {
        put_file(&init, Path::new(INIT))?;
    }
    mounting::directory(&mounting::cleaned(&spec.process.working_directory))?;
    for (name, value) in &spec.sysctls {
        set_parameter(name, value)?;
    }
    if spec.read_only_root {
        ioctl::make_read_only(CWD, c"/", false)
            .context(|| "the root could not be made read-only".to_owned())?;
    }
    paths::make_unwritable(&spec.readonly_paths)?;
    paths::mask(&spec.masked_paths)
}

/// The numbers of the spec's devices in the guest.
fn look_up_devices(spec: &ContainerSpec) -> Outcome<Vec<Node>> {
    spec.devices
        .iter()
        .map(|device| {
            let path = &device.source;
            let status = stat(path.as_str()).context(|| {
                format!("error gathering device information while adding custom device {path:?}")
            })?;
            let kind = FileType::from_raw_mode(status.st_mode);
            if !matches!(kind, FileType::BlockDevice | FileType::CharacterDevice) {
                return Err(invalid(format!("{path:?} is not a device node")));
            }
            let target = mounting::cleaned(&device.target).display().to_string();
            Ok(Node {
                target,
                kind,
                device: status.st_rdev,
            })
        })
        .collect()
}

/// The guest's own devices, but for its terminals and what every container has of its own.
fn all_devices() -> Outcome<Vec<Node>> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir("/dev").context(|| "/dev".to_owned())?.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let own = ["console", "tty", "ptmx"].contains(&name.as_str()) || name.starts_with("tty");
        let Ok(status) = stat(entry.path().as_path()) else {
            continue;
        };
        let kind = FileType::from_raw_mode(status.st_mode);
        if !own && matches!(kind, FileType::BlockDevice | FileType::CharacterDevice) {
            nodes.push(Node {
                target: format!("/dev/{name}"),
                kind,
                device: status.st_rdev,
            });
        }
    }
    Ok(nodes)
}

/// Writes the files for /etc into a tmpfs of their own and returns a mount of each.
fn stage_etc(files: &[(String, String)]) -> Outcome<Vec<(PathBuf, OwnedFd)>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let settings = [("mode", Some("755")), ("size", Some("4m"))];
    let stage = mounting::create("tmpfs", &settings, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    let target = mounting::target(ETC_STAGE).context(|| ETC_STAGE.to_owned())?;
    mounting::attach(&stage, target).context(|| ETC_STAGE.to_owned())?;
    files
        .iter()
        .map(|(name, text)| {
            if name.is_empty() || name == "." || name == ".." || name.contains('/') {
                return Err(invalid(format!("{name:?} is no name of a file in /etc")));
            }
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(&stage, name.as_str(), flags, Mode::from_raw_mode(0o644))
                .map_err(std::io::Error::from)
                .and_then(|file| File::from(file).write_all(text.as_bytes()))
                .context(|| format!("/etc/{name} could not be written"))?;
            let mount = mounting::copy_of(&format!("{ETC_STAGE}/{name}"), false).context(|| name.clone())?;
            Ok((PathBuf::from(name), mount))
        })
        .collect()
}

/// Mounts a file over a path of the container.
fn put_file(mount: impl AsFd, path: &Path) -> Outcome<()> {
    mounting::attach(mount, mounting::file(path)?).context(|| format!("mounting on {}", path.display()))
}

/// Writes a kernel parameter of the container's namespaces.
fn set_parameter(name: &str, value: &str) -> Outcome<()> {
    // An interface may have a dot in its name; then the whole name is written with slashes.
    let path = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(invalid(format!("{name:?} is no kernel parameter")));
    }
    fs::write(format!("/proc/sys/{path}"), value).context(|| format!("open /proc/sys/{path}"))
}
