//! What a container's processes are and use: cgroup files and /proc (proc_pid_stat(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use protocol::{BlockUsage, FromGuest, InterfaceUsage, ProcessInfo, Reply, Usage};

use crate::boot::{CONTAINERS_CGROUP, clock};
use crate::channel::Channel;
use crate::failure::{Outcome, failure, shortened};
use crate::sys;

/// Processes that one answer tells; the message that carries them is bounded.
const MOST_PROCESSES: usize = 2048;
const MOST_BYTES: usize = 512 << 10;
/// Bytes of a file of /proc that are read, which a process can make as long as it likes.
const LONGEST_FILE: u64 = 16 << 10;
/// Bytes of a command line that are told.
const LONGEST_COMMAND: u64 = 256;
/// The kernel's unit of CPU time in /proc (USER_HZ).
const TICKS_A_SECOND: u64 = 100;
const TICK_NS: u64 = 1_000_000_000 / TICKS_A_SECOND;

fn not_running(id: &str) -> protocol::Failure {
    failure(
        protocol::FailureKind::NotRunning,
        format!("container {id} is not running"),
    )
}

/// Answers a request. Called in the forked child of PID 1.
pub(super) fn run(request: u64, socket: OwnedFd, work: impl FnOnce() -> Outcome<Reply>) {
    if sys::fd::close_all_except(&[socket.as_fd()]).is_err() {
        return;
    }
    let reply = FromGuest::Reply {
        id: request,
        result: work().map_err(shortened),
    };
    let mut channel = Channel::new(socket);
    let _ = channel.send(&reply).and_then(|()| channel.flush_all());
}

/// The processes in a container, those of cgroups below its own included.
pub(super) fn processes(id: &str) -> Outcome<Reply> {
    let mut numbers = Vec::new();
    let mut folders = vec![format!("{CONTAINERS_CGROUP}/{id}")];
    while let Some(folder) = folders.pop() {
        let Ok(text) = fs::read_to_string(format!("{folder}/cgroup.procs")) else {
            continue;
        };
        numbers.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(
            below
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path().display().to_string()),
        );
    }
    if numbers.is_empty() {
        return Err(not_running(id));
    }
    numbers.sort_unstable();
    let boot_ns = i64::try_from(clock::now())
        .unwrap_or(0)
        .saturating_sub(since_boot());
    let mut room = MOST_BYTES;
    let processes = numbers
        .into_iter()
        .take(MOST_PROCESSES)
        .filter_map(|pid| process(pid, boot_ns))
        .take_while(|process| {
            let length = serde_json::to_vec(process).map_or(MOST_BYTES, |text| text.len());
            room = room.saturating_sub(length);
            room > 0
        })
        .collect();
    Ok(Reply::Processes { processes })
}

fn since_boot() -> i64 {
    i64::try_from(clock::nanoseconds(rustix::time::clock_gettime(
        rustix::time::ClockId::Boottime,
    )))
    .unwrap_or(0)
}

/// One process, if it is still there.
fn process(pid: u32, boot_ns: i64) -> Option<ProcessInfo> {
    let read = |file: &str, most: u64| {
        let mut bytes = Vec::new();
        let file = fs::File::open(format!("/proc/{pid}/{file}")).ok()?;
        file.take(most).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let text = |file: &str| Some(String::from_utf8_lossy(&read(file, LONGEST_FILE)?).into_owned());
    let (stat, status) = (text("stat")?, text("status")?);
    let mut process = parse_stat(&stat, boot_ns)?;
    let id = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        // Real, effective, saved, file system: the effective one is what ps(1) shows.
        line.split_whitespace().nth(1)?.parse().ok()
    };
    process.uid = id("Uid:").unwrap_or(0);
    process.gid = id("Gid:").unwrap_or(0);
    let command = read("cmdline", LONGEST_COMMAND).unwrap_or_default();
    process.arguments = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Some(process)
}

fn parse_stat(stat: &str, boot_ns: i64) -> Option<ProcessInfo> {
    // The name stands in parentheses and may have some itself.
    let (head, tail) = stat.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    // Numbered as in the manual, where the state is the third.
    let text = |number: usize| fields.get(number.checked_sub(3)?).copied();
    let number = |place: usize| text(place)?.parse::<i64>().ok();
    let unsigned = |place: usize| u64::try_from(number(place)?).ok();
    let start_ns = i64::try_from(unsigned(22)?.checked_mul(TICK_NS)?).ok()?;
    Some(ProcessInfo {
        pid: pid.trim().parse().ok()?,
        parent: u32::try_from(number(4)?).unwrap_or(0),
        group: u32::try_from(number(5)?).unwrap_or(0),
        session: u32::try_from(number(6)?).unwrap_or(0),
        uid: 0,
        gid: 0,
        state: text(3)?.chars().next()?,
        terminal: terminal(number(7)?),
        nice: number(19)?,
        threads: unsigned(20)?,
        cpu_ms: unsigned(14)?
            .saturating_add(unsigned(15)?)
            .saturating_mul(1000 / TICKS_A_SECOND),
        start_ns: boot_ns.saturating_add(start_ns),
        virtual_bytes: unsigned(23)?,
        resident_bytes: unsigned(24)?.saturating_mul(rustix::param::page_size() as u64),
        name: name.to_owned(),
        arguments: Vec::new(),
    })
}

/// The name of a terminal's device number.
fn terminal(number: i64) -> String {
    let number = u64::try_from(number).unwrap_or(0);
    let (major, minor) = (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xf_ff00),
    );
    match major {
        136..=143 => format!("pts/{}", minor.saturating_add((major.saturating_sub(136)) << 20)),
        4 => format!("tty{minor}"),
        _ => String::new(),
    }
}

/// What a container uses.
pub(super) fn usage(id: &str, host_interfaces: &[String]) -> Outcome<Reply> {
    let folder = format!("{CONTAINERS_CGROUP}/{id}");
    let read = |file: &str| fs::read_to_string(format!("{folder}/{file}")).unwrap_or_default();
    let number = |file: &str| read(file).trim().parse::<u64>().ok();
    let Some(pids) = number("pids.current") else {
        return Err(not_running(id));
    };
    let machine = rustix::system::sysinfo();
    let all_memory = u64::from(machine.mem_unit).saturating_mul(machine.totalram as u64);
    let events = keyed(&read("memory.events"));
    Ok(Reply::Usage(Box::new(Usage {
        cpu: keyed(&read("cpu.stat")),
        machine_cpu_ns: machine_cpu(&fs::read_to_string("/proc/stat").unwrap_or_default()),
        online_cpus: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(1)),
        memory_bytes: number("memory.current").unwrap_or(0),
        memory_limit_bytes: number("memory.max").unwrap_or(all_memory).min(all_memory),
        memory: keyed(&read("memory.stat")),
        memory_limit_hits: events.get("max").copied().unwrap_or(0),
        pids,
        pids_limit: number("pids.max"),
        disks: disks(&read("io.stat")),
        interfaces: host_interfaces
            .iter()
            .filter_map(|name| Some((name.clone(), interface(name)?)))
            .collect(),
    })))
}

/// A flat keyed file.
fn keyed(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    });
    pairs.collect()
}

/// The time that all CPUs have run anything or nothing, in nanoseconds.
fn machine_cpu(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: u64 = line
        .split_whitespace()
        .skip(1)
        // What guests take is in the time of the user already.
        .take(8)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    ticks.saturating_mul(TICK_NS)
}

/// io.stat: a nested keyed file.
fn disks(text: &str) -> Vec<BlockUsage> {
    let line = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let value = |key: &str| {
            let found = rest
                .split(' ')
                .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            found.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        Some(BlockUsage {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            read_bytes: value("rbytes"),
            written_bytes: value("wbytes"),
            reads: value("rios"),
            writes: value("wios"),
        })
    };
    text.lines().filter_map(line).collect()
}

/// What the guest's end of a container's interface counted, seen from the other end.
fn interface(name: &str) -> Option<InterfaceUsage> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return None;
    }
    let read = |counter: &str| {
        let path = format!("/sys/class/net/{name}/statistics/{counter}");
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    Some(InterfaceUsage {
        received_bytes: read("tx_bytes")?,
        received_packets: read("tx_packets")?,
        received_errors: read("tx_errors")?,
        received_dropped: read("tx_dropped")?,
        sent_bytes: read("rx_bytes")?,
        sent_packets: read("rx_packets")?,
        sent_errors: read("rx_errors")?,
        sent_dropped: read("rx_dropped")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_parentheses_in_its_name_is_read() {
        let stat = "42 (a) b) S 1 42 7 34816 42 4194304 1 0 0 0 250 50 0 0 20 -5 3 0 200 1048576 3 184 0 0";
        let process = parse_stat(stat, 1_000).unwrap();
        assert_eq!(
            (
                process.pid,
                process.name.as_str(),
                process.parent,
                process.session
            ),
            (42, "a) b", 1, 7)
        );
        assert_eq!((process.cpu_ms, process.nice, process.threads), (3000, -5, 3));
        assert_eq!(process.start_ns, 2_000_001_000);
        assert_eq!(process.terminal, "pts/0");
    }

    #[test]
    fn this_very_process_is_read() {
        let own = process(std::process::id(), 0).unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(!own.arguments.is_empty() && own.resident_bytes > 0);
    }

    #[test]
    fn counters_of_disks_are_read_by_their_keys() {
        let text = "254:0 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n254:16 \n";
        assert_eq!(
            disks(text)[0],
            BlockUsage {
                major: 254,
                minor: 0,
                read_bytes: 4096,
                written_bytes: 512,
                reads: 1,
                writes: 2
            }
        );
    }

    #[test]
    fn the_machines_time_is_that_of_all_its_states() {
        assert_eq!(machine_cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1"), 36 * TICK_NS);
    }

    #[test]
    fn an_interface_that_is_a_path_is_none() {
        assert_eq!(interface("../../etc"), None);
        assert!(interface("lo").is_some());
    }
}
