//! What an idle machine of 512 MiB costs its host, guest pages included: the proportional set size of the service, the
//! machine's process and, where the machine is emulated, QEMU (proc_pid_smaps_rollup(5): pages that are shared by n
//! processes count for one nth in each).

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Bench;
use super::ours::Ours;
use super::report::{Row, Unit};
use crate::architecture::Architecture;

/// Of the guest.
const MEMORY_MIB: u32 = 512;
/// After its start: free pages go back to the host within seconds.
const SETTLE: Duration = Duration::from_secs(10);

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
    let (mut all, mut own) = (0.0, 0.0);
    for (name, mebibytes) in processes(ours.home())? {
        all += mebibytes;
        if !name.starts_with("qemu") {
            own += mebibytes;
        }
    }
    let row = |what: &str, value| Row::alone(what, arch, Unit::Mebibytes, value);
    Ok(vec![
        row("emulated: service + VMM, idle 512 MiB guest", own),
        row("emulated: the same with QEMU", all),
    ])
}

/// Names and sizes in MiB of the processes whose environment names this home folder.
fn processes(home: &Path) -> Result<Vec<(String, f64)>> {
    let mark = format!("SAMPAN_HOME={}", home.display());
    let mut found = Vec::new();
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
            let name = fs::read_to_string(folder.join("comm"))?.trim().to_owned();
            found.push((
                name,
                pss(&rollup).with_context(|| format!("{}: no Pss", folder.display()))?,
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_size_is_read_and_not_its_parts() {
        let rollup = "55-7f ---p 0 00:00 0 [rollup]\nRss:  4096 kB\nPss:        2048 kB\nPss_Anon:  1 kB\n";
        assert_eq!(pss(rollup), Some(2.0));
    }
}
