//! What a world's processes and its machine hold, so that a scenario can say that nothing was left behind.

use std::fs;

use super::World;

/// What is held at one moment on both sides.
#[derive(Debug)]
pub struct Census {
    /// Open file descriptors of the service.
    service_files: usize,
    service_threads: usize,
    /// Open file descriptors of the process of the machine.
    machine_files: usize,
    /// Lines of the mount table of the machine's first process.
    mounts: u64,
    /// Directories of the machine's cgroup file system.
    cgroups: u64,
    /// Network interfaces of the machine.
    links: u64,
    /// Processes of the machine that run a program: the kernel's own threads come and go.
    processes: u64,
    /// Folders of containers on the data disk.
    folders: u64,
}

/// Printed by a privileged container in the machine's own namespaces.
const COUNT: &str = "
wc -l < /proc/1/mountinfo
find /proc/1/root/sys/fs/cgroup -type d | wc -l
ls /sys/class/net | wc -l
for process in /proc/[0-9]*; do readlink $process/exe; done | wc -l
ls /proc/1/root/data/containers | wc -l
";

/// What may be on its way out when a census is taken: the connection or the process of the command before.
const PASSING: u64 = 3;

impl Census {
    /// Nothing has come to stay. Scenarios make many times [`PASSING`] of each thing in between.
    #[track_caller]
    pub fn is_no_more_than(&self, before: &Self) {
        let pairs = [
            (self.service_files as u64, before.service_files as u64),
            (self.service_threads as u64, before.service_threads as u64),
            (self.machine_files as u64, before.machine_files as u64),
            (self.mounts, before.mounts),
            (self.cgroups, before.cgroups),
            (self.links, before.links),
            (self.processes, before.processes),
            (self.folders, before.folders),
        ];
        assert!(
            pairs.iter().all(|(now, then)| *now <= then + PASSING),
            "{self:?} is left of {before:?}"
        );
    }

    /// Folders of containers on the data disk, that of the container which counts among them.
    pub fn folders(&self) -> u64 {
        self.folders
    }
}

impl World {
    /// Counts. No other scenario may use the same world.
    pub fn census(&self) -> Census {
        let counting = [
            "run",
            "--rm",
            "--privileged",
            "--pid",
            "host",
            "--network",
            "host",
            "alpine",
            "sh",
            "-c",
            COUNT,
        ];
        let text = self.ok(counting);
        let counts: Vec<u64> = text.lines().map(|line| line.trim().parse().unwrap()).collect();
        let [mounts, cgroups, links, processes, folders] = counts[..] else {
            panic!("five counts were to come: {text}");
        };
        let (service, machine) = (self.service_pid(), self.machine_pid());
        Census {
            service_files: entries(&format!("/proc/{service}/fd")),
            service_threads: entries(&format!("/proc/{service}/task")),
            machine_files: entries(&format!("/proc/{machine}/fd")),
            mounts,
            cgroups,
            links,
            processes,
            folders,
        }
    }

    /// The most memory that the service has had resident since it was started or this was last reset, in bytes
    /// (proc_pid_status(5), `VmHWM`).
    pub fn service_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.service_pid())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Lets [`World::service_peak`] begin anew from what is resident now (proc_pid_clear_refs(5)).
    pub fn reset_service_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.service_pid()), "5").unwrap();
    }
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}
