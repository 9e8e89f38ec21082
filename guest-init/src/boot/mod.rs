//! From the kernel's first instruction in user space to "ready": mounts, cgroups, disks, the wall clock.
//!
//! What goes wrong here is kept as a sentence and told to the host in the greeting, because a machine that
//! says why it is of no use is worth more than one that stops.

pub(crate) mod clock;
mod disks;
mod mounts;

use std::fs;

use protocol::{Architecture, DATA_DISK_SERIAL, Hello, LAYER_DISK_SERIAL};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

pub(crate) use disks::{Disk, find as find_disk};
pub(crate) use mounts::{CONTAINERS_CGROUP, EMPTY_LOWER, ETC_STAGE, LAYERS, NAMES, ROOT_STAGE};

/// Where the containers' own files are: `<id>/upper` and `<id>/work` each.
pub(crate) const CONTAINERS: &str = "/data/containers";
/// Where volumes are: `<name>/_data` each.
pub(crate) const VOLUMES: &str = "/data/volumes";
/// Where removed files wait to be unlinked.
pub(crate) const TRASH: &str = "/data/trash";

/// What the machine has.
pub(crate) struct Machine {
    /// The disk with the image layers.
    pub(crate) layer_disk: Option<Disk>,
    /// Whether [`CONTAINERS`] can be used.
    pub(crate) problem: Option<String>,
}

/// Prepares everything that comes before the first word to the host.
pub(crate) fn prepare() -> Machine {
    let mut problems = Vec::new();
    mounts::mount_all(&mut problems);
    tune(&mut problems);
    let layer_disk = disks::find(LAYER_DISK_SERIAL);
    if let Err(problem) = mount_data() {
        problems.push(problem);
    }
    if let Err(error) = crate::sys::ioctl::bring_loopback_up() {
        problems.push(format!("the loopback interface could not be brought up: {error}"));
    }
    let problem = if problems.is_empty() {
        None
    } else {
        Some(problems.join("; "))
    };
    Machine { layer_disk, problem }
}

/// Mounts the data disk and makes its directories.
fn mount_data() -> Result<(), String> {
    let disk = disks::find(DATA_DISK_SERIAL).ok_or_else(|| {
        format!("the machine has no data disk (a virtio disk with the serial {DATA_DISK_SERIAL:?})")
    })?;
    mounts::mount_data(&disk).map_err(|errno| {
        let reason = crate::failure::text_of(errno);
        format!(
            "the data disk {} could not be mounted as ext4: {reason}",
            disk.path()
        )
    })?;
    for directory in [CONTAINERS, VOLUMES, TRASH] {
        fs::create_dir_all(directory)
            .map_err(|error| format!("{directory} could not be made on the data disk: {error}"))?;
    }
    Ok(())
}

/// Limits and kernel parameters that programs in containers are used to from Docker's own hosts, and those that let an
/// idle guest sleep.
fn tune(problems: &mut Vec<String>) {
    const OPEN_FILES: u64 = 1 << 20;
    let files = Rlimit {
        current: Some(OPEN_FILES),
        maximum: Some(OPEN_FILES),
    };
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    for (resource, limit) in [
        (Resource::Nofile, files),
        (Resource::Nproc, unlimited),
        (Resource::Core, unlimited),
    ] {
        if let Err(errno) = setrlimit(resource, limit) {
            problems.push(format!("{resource:?} could not be raised: {errno}"));
        }
    }
    for (name, value) in [
        ("vm/max_map_count", "262144"),
        ("fs/inotify/max_user_instances", "1024"),
        // Looks twice a second whether huge pages could be made in advance.
        ("vm/compaction_proactiveness", "0"),
        // Looks every second, by default, whether a processor has counters to fold.
        ("vm/stat_interval", "60"),
    ] {
        // A kernel without the parameter is as good.
        let _ = fs::write(format!("/proc/sys/{name}"), value);
    }
}

/// The greeting.
pub(crate) fn hello(problem: Option<String>) -> Hello {
    let memory = rustix::system::sysinfo();
    let boot = clock_gettime(ClockId::Boottime);
    Hello {
        version: protocol::VERSION,
        oldest_version: protocol::OLDEST_VERSION,
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        architecture: const {
            match Architecture::of_host() {
                Some(architecture) => architecture,
                None => unreachable!(),
            }
        },
        cpus: std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        memory_bytes: memory.totalram.saturating_mul(u64::from(memory.mem_unit)),
        boot_ns: clock::nanoseconds(boot),
        problem,
        containers: names_in(CONTAINERS),
        volumes: names_in(VOLUMES),
    }
}

/// What a directory of the data disk holds, as many names as fit into the greeting.
fn names_in(directory: &str) -> Vec<String> {
    const MOST: usize = 4096;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(MOST)
        .collect()
}
