//! A container's cgroup (Documentation/admin-guide/cgroup-v2.rst): its limits, its freezer, its memory events,
//! and the one sure way to end everything in it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::{DATA_DISK_SERIAL, DeviceLimit, Limits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, open, openat, stat};
use rustix::io::{Errno, retry_on_intr};

use super::cpu_list;
use crate::boot::CONTAINERS_CGROUP;
use crate::failure::{Context, Outcome, failure, invalid};

/// How long the kernel may take to bury what was killed, in seconds, before the cgroup is left behind.
const BURIAL_SECONDS: i64 = 10;
/// How often killing and removing are tried before a cgroup is left behind.
const BURIALS: usize = 8;
/// Cgroups below a container's own that are removed at once.
const MOST_BELOW: usize = 4096;

/// A cgroup that exists.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: String,
    directory: OwnedFd,
}

impl Cgroup {
    /// Makes the cgroup of a container and sets its limits. It is gone again on failure.
    pub(crate) fn create(id: &str, limits: &Limits) -> Outcome<Self> {
        let path = format!("{CONTAINERS_CGROUP}/{id}");
        if let Err(error) = fs::create_dir(&path) {
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                return Err(error).context(|| format!("mkdir {path}"));
            }
            // Left behind by a run that could not bury its dead in time: they are gone by now, or it is an error.
            fs::remove_dir(&path)
                .and_then(|()| fs::create_dir(&path))
                .context(|| format!("mkdir {path}"))?;
        }
        let made = open(
            &path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let cgroup = match made.context(|| format!("open {path}")) {
            Ok(directory) => Self { path, directory },
            Err(failure) => {
                let _ = fs::remove_dir(&path);
                return Err(failure);
            }
        };
        match cgroup.set(limits) {
            Ok(()) => Ok(cgroup),
            Err(failure) => {
                cgroup.remove();
                Err(failure)
            }
        }
    }

    /// The cgroup of a container that runs.
    pub(crate) fn of_running(id: &str) -> Outcome<Self> {
        let path = format!("{CONTAINERS_CGROUP}/{id}");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(path.as_str(), flags, Mode::empty()) {
            Err(Errno::NOENT) => Err(failure(
                protocol::FailureKind::NotRunning,
                format!("container {id} is not running"),
            )),
            other => Ok(Self {
                directory: other.context(|| path.clone())?,
                path,
            }),
        }
    }

    /// Kills what is still in a container's cgroup and removes it. Returns whether it is gone; does not wait.
    pub(crate) fn try_remove(id: &str) -> bool {
        let path = format!("{CONTAINERS_CGROUP}/{id}");
        remove_below(&path);
        match rustix::fs::rmdir(&path) {
            Ok(()) | Err(Errno::NOENT) => true,
            Err(_) => {
                let _ = fs::write(format!("{path}/cgroup.kill"), "1");
                false
            }
        }
    }

    /// Kills what is in any container's cgroup.
    pub(crate) fn kill_all() -> Outcome<()> {
        let path = format!("{CONTAINERS_CGROUP}/cgroup.kill");
        fs::write(&path, "1").context(|| path.clone())
    }

    /// A second handle of the same cgroup.
    pub(crate) fn duplicate(&self) -> Outcome<Self> {
        let directory = self.directory.try_clone().context(|| self.path.clone())?;
        Ok(Self {
            path: self.path.clone(),
            directory,
        })
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Sets the limits that are given; the others stay as they are.
    pub(crate) fn set(&self, limits: &Limits) -> Outcome<()> {
        // The largest number is no limit.
        let shown = |value: u64| {
            if value == u64::MAX {
                "max".to_owned()
            } else {
                value.to_string()
            }
        };
        let number = |value: Option<u64>| value.map(shown);
        let list = |file: &str, asked: &Option<String>, what: &str| -> Outcome<()> {
            let Some(asked) = asked.as_deref().filter(|asked| !asked.is_empty()) else {
                return Ok(());
            };
            let available =
                fs::read_to_string(format!("{CONTAINERS_CGROUP}/{file}.effective")).unwrap_or_default();
            let both = (cpu_list::parse(asked), cpu_list::parse(&available));
            let (Some(wanted), Some(have)) = both else {
                return Err(invalid(format!("{asked:?} is no list of {what} such as 0-2,4")));
            };
            if !cpu_list::is_subset(&wanted, &have) {
                let available = available.trim();
                return Err(invalid(format!(
                    "Requested {what} are not available - requested {asked}, available: {available}"
                )));
            }
            self.write(file, asked)
        };
        let plain = [
            ("memory.max", number(limits.memory_bytes)),
            ("memory.low", number(limits.memory_reservation_bytes)),
            (
                "cpu.max",
                limits
                    .cpu_quota
                    .map(|(quota, period)| format!("{} {period}", shown(quota))),
            ),
            ("cpu.weight", number(limits.cpu_weight)),
            ("pids.max", number(limits.pids)),
        ];
        for (file, value) in plain {
            if let Some(value) = value {
                self.write(file, &value)?;
            }
        }
        if let Some(value) = number(limits.swap_bytes) {
            self.write_if_there("memory.swap.max", &value)?;
        }
        list("cpuset.cpus", &limits.cpuset_cpus, "CPUs")?;
        list("cpuset.mems", &limits.cpuset_mems, "memory nodes")?;
        if let Some(weight) = limits.io_weight {
            self.set_io_weight(weight)?;
        }
        limits
            .io
            .iter()
            .try_for_each(|limit| self.write("io.max", &io_max(limit)?))
    }

    /// Weights are kept by the BFQ scheduler, in a narrower range, so it has to serve the disks first.
    fn set_io_weight(&self, weight: u64) -> Outcome<()> {
        for disk in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            // Disks without a request queue of their own (device-mapper's) have no scheduler to choose.
            let _ = fs::write(disk.path().join("queue/scheduler"), "bfq");
        }
        let weight = weight.clamp(1, 10_000);
        let narrow = 10u64.saturating_add(weight.saturating_sub(1).saturating_mul(990) / 9999);
        self.write("io.bfq.weight", &narrow.to_string())
    }

    fn write(&self, file: &str, value: &str) -> Outcome<()> {
        self.try_write(file, value).map_err(|errno| {
            let reason = crate::failure::text_of(errno);
            let kind = if errno == Errno::NOMEM {
                protocol::FailureKind::Exhausted
            } else {
                protocol::FailureKind::Invalid
            };
            failure(kind, format!("the kernel refused {value:?} for {file}: {reason}"))
        })
    }

    fn write_if_there(&self, file: &str, value: &str) -> Outcome<()> {
        match self.try_write(file, value) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(_) => self.write(file, value),
        }
    }

    fn try_write(&self, file: &str, value: &str) -> Result<(), Errno> {
        let fd = self.open(file, OFlags::WRONLY)?;
        retry_on_intr(|| rustix::io::write(&fd, value.as_bytes())).map(drop)
    }

    fn open(&self, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(&self.directory, file, flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// A descriptor with EPOLLPRI whenever the file of events changed: `memory.events` or `cgroup.events`.
    pub(crate) fn events(&self, file: &str) -> Outcome<OwnedFd> {
        self.open(file, OFlags::RDONLY)
            .context(|| format!("{}/{file}", self.path))
    }

    /// How often the kernel killed a process in here for lack of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        self.read("memory.events", "oom_kill").unwrap_or(0)
    }

    /// Begins to freeze or thaw everything in here.
    pub(crate) fn freeze(&self, frozen: bool) -> Outcome<()> {
        self.write("cgroup.freeze", if frozen { "1" } else { "0" })
    }

    /// Whether everything in here is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.read("cgroup.events", "frozen") == Some(1)
    }

    /// One number of a flat keyed file.
    fn read(&self, file: &str, key: &str) -> Option<u64> {
        let fd = self.open(file, OFlags::RDONLY).ok()?;
        let mut text = [0; 512];
        let length = retry_on_intr(|| rustix::io::read(&fd, &mut text)).ok()?;
        value_of(std::str::from_utf8(text.get(..length)?).ok()?, key)
    }

    /// Kills what is still in here, waits for the kernel to bury it, and removes the cgroup.
    pub(crate) fn remove(&self) {
        // A container that may write its cgroups has made some below its own.
        for _ in 0..BURIALS {
            remove_below(&self.path);
            match rustix::fs::rmdir(&self.path) {
                Err(Errno::BUSY) => {}
                Ok(()) | Err(_) => return,
            }
            if self.try_write("cgroup.kill", "1").is_err() || !self.wait_until_empty() {
                return;
            }
        }
    }

    fn wait_until_empty(&self) -> bool {
        let Ok(events) = self.open("cgroup.events", OFlags::RDONLY) else {
            return false;
        };
        let limit = Timespec {
            tv_sec: BURIAL_SECONDS,
            tv_nsec: 0,
        };
        while self.read("cgroup.events", "populated") == Some(1) {
            match retry_on_intr(|| poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&limit))) {
                Ok(count) if count > 0 => {}
                _ => return false,
            }
            // Reading is what makes the descriptor quiet again.
            let _ = rustix::io::pread(&events, &mut [0; 512], 0);
        }
        true
    }
}

/// Removes the cgroups below one, as far as they are empty: the deepest first.
fn remove_below(path: &str) {
    let mut all = vec![std::path::PathBuf::from(path)];
    let mut next = 0;
    while let Some(folder) = all.get(next).filter(|_| all.len() < MOST_BELOW) {
        let inner = fs::read_dir(folder).into_iter().flatten().flatten();
        let inner: Vec<_> = inner
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        all.extend(inner);
        next += 1;
    }
    for folder in all.iter().skip(1).rev() {
        let _ = rustix::fs::rmdir(folder);
    }
}

/// The number behind a key of a flat keyed file.
fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A line of io.max.
fn io_max(limit: &DeviceLimit) -> Outcome<String> {
    let path = &limit.path;
    let device = match stat(path.as_str()) {
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::BlockDevice => status.st_rdev,
        _ => {
            let data = crate::boot::find_disk(DATA_DISK_SERIAL).map_or(String::new(), |disk| {
                format!("; the files that containers write lie on {}", disk.path())
            });
            return Err(invalid(format!("the machine has no block device {path}{data}")));
        }
    };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut line = format!("{major}:{minor}");
    for (key, value) in [
        ("rbps", limit.read_bytes_per_second),
        ("wbps", limit.write_bytes_per_second),
        ("riops", limit.read_operations_per_second),
        ("wiops", limit.write_operations_per_second),
    ] {
        if let Some(value) = value {
            line.push_str(&format!(" {key}={value}"));
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_confused_with_one_that_it_begins() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(value_of(text, "oom_kill"), Some(2));
        assert_eq!(value_of(text, "oom"), Some(3));
        assert_eq!(value_of(text, "max"), None);
    }

    #[test]
    fn a_limit_on_a_device_that_does_not_exist_names_it() {
        let limit = DeviceLimit {
            path: "/dev/sdz".to_owned(),
            read_bytes_per_second: Some(1),
            write_bytes_per_second: None,
            read_operations_per_second: None,
            write_operations_per_second: None,
        };
        assert!(io_max(&limit).unwrap_err().message.contains("/dev/sdz"));
    }
}
