//! What an idle machine of 512 MiB costs its host, guest pages included.
//!
//! Memory is the proportional set size of the service, the machine's process and QEMU (proc_pid_smaps_rollup(5): pages
//! that are shared by n processes count for one nth in each). Wake-ups are the times that a thread of theirs went to
//! sleep by itself (proc_pid_status(5), `voluntary_ctxt_switches`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Bench;
use super::ours::Ours;
use super::report::{Goal, Row, Unit};
use crate::architecture::Architecture;

/// Of the guest.
const MEMORY_MIB: u32 = 512;
/// After its start: free pages go back to the host within seconds.
const SETTLE: Duration = Duration::from_secs(10);
/// How long wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(20);
/// Of all threads of service and machine's process, a second.
pub(super) const MOST_WAKE_UPS: f64 = 1.0;

/// The emulated machine, on this computer.
pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let ours = Ours::new(bench, arch, 1, MEMORY_MIB)?;
    let _service = ours.service()?;
    ours.output(&["machine", "start"])?;
    crate::run::step(&format!(
        "letting an emulated {} machine become idle",
        arch.docker()
    ));
    std::thread::sleep(SETTLE);
    let before = processes(ours.home())?;
    std::thread::sleep(WATCHED);
    let after = processes(ours.home())?;
    let (mut all, mut own) = (Cost::default(), Cost::default());
    for (id, process) in &after {
        let earlier = before.get(id).context("a process of sampan's came late")?;
        let cost = Cost {
            mebibytes: process.mebibytes,
            wake_ups: process.wake_ups.saturating_sub(earlier.wake_ups) as f64 / WATCHED.as_secs_f64(),
        };
        all.add(&cost);
        if !process.name.starts_with("qemu") {
            own.add(&cost);
        }
    }
    let row = |what: &str, unit, value| Row::alone(what, arch, unit, value);
    Ok(vec![
        row(
            "emulated: service + VMM, idle 512 MiB guest",
            Unit::Mebibytes,
            own.mebibytes,
        ),
        row("emulated: the same with QEMU", Unit::Mebibytes, all.mebibytes),
        row(
            "emulated: wake-ups of service + VMM, idle",
            Unit::PerSecond,
            own.wake_ups,
        )
        .goal(Goal::Most(MOST_WAKE_UPS)),
        row("emulated: the same with QEMU", Unit::PerSecond, all.wake_ups),
    ])
}

#[derive(Default)]
struct Cost {
    mebibytes: f64,
    /// A second.
    wake_ups: f64,
}

impl Cost {
    fn add(&mut self, other: &Self) {
        self.mebibytes += other.mebibytes;
        self.wake_ups += other.wake_ups;
    }
}

struct Process {
    name: String,
    mebibytes: f64,
    /// Since it started.
    wake_ups: u64,
}

/// The processes whose environment names this home folder.
fn processes(home: &Path) -> Result<BTreeMap<PathBuf, Process>> {
    let mark = format!("SAMPAN_HOME={}", home.display());
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        // Processes come and go, and others' cannot be read.
        let Ok(environment) = fs::read(folder.join("environ")) else {
            continue;
        };
        if environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == mark.as_bytes())
        {
            let rollup = fs::read_to_string(folder.join("smaps_rollup"))?;
            let process = Process {
                name: fs::read_to_string(folder.join("comm"))?.trim().to_owned(),
                mebibytes: pss(&rollup).with_context(|| format!("{}: no Pss", folder.display()))?,
                wake_ups: wake_ups(&folder)?,
            };
            found.insert(folder, process);
        }
    }
    if found.len() < 2 {
        bail!("the machine's processes are gone");
    }
    Ok(found)
}

/// In MiB.
fn pss(rollup: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// Of all threads of the process in this folder of /proc.
fn wake_ups(process: &Path) -> Result<u64> {
    let mut sum = 0u64;
    for thread in fs::read_dir(process.join("task"))? {
        // Threads come and go.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        sum = sum.saturating_add(sleeps(&status).context("no voluntary_ctxt_switches")?);
    }
    Ok(sum)
}

fn sleeps(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_size_is_read_and_not_its_parts() {
        let rollup = "55-7f ---p 0 00:00 0 [rollup]\nRss:  4096 kB\nPss:        2048 kB\nPss_Anon:  1 kB\n";
        assert_eq!(pss(rollup), Some(2.0));
    }

    #[test]
    fn a_thread_that_was_sent_to_sleep_did_not_wake_up_for_it() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(sleeps(status), Some(12));
    }
}
