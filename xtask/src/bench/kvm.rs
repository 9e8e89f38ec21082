//! Machines on KVM, inside the laptop: boot against QEMU's own machine for direct boot (`microvm` on amd64, `virt` on
//! arm64), and memory. What is measured how is told by the guest's side, `tests/src/bin/bench_guest/kvm.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::report::{Goal, Row, Unit};
use super::samples::Samples;
use super::{Bench, guest, idle};
use crate::architecture::Architecture;
use crate::emulator::SUCCESS;
use crate::musl::Profile;
use crate::{laptop, publish, qemu, run};

const DATA_BYTES: u64 = 64 << 20;
/// Of service and machine's process with an idle guest of 512 MiB.
const MOST_MEMORY_MIB: f64 = 100.0;

pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let baseline = match arch {
        Architecture::Amd64 => "QEMU microvm",
        Architecture::Arm64 => "QEMU virt",
    };
    let qemu = qemu::unpacked(arch)?;
    let folder = laptop::folder(arch)?;
    laptop::add_static_program(&folder, arch, Profile::Release)?;
    let unpacked = folder.join("qemu");
    publish::remove(&unpacked)?;
    run::run(
        Command::new("cp")
            .args(["--archive", "--link"])
            .arg(&qemu)
            .arg(&unpacked),
    )?;
    let data = folder.join("data.img");
    fs::File::create(&data)?.set_len(DATA_BYTES)?;
    run::output(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&data))?;

    run::step(&format!(
        "measuring machines on KVM in an {} laptop",
        arch.docker()
    ));
    let words = vec!["BENCH=kvm".to_owned(), format!("BENCH_RUNS={}", bench.runs)];
    let (mut ours, mut theirs, mut memory, mut wake_ups) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let result = laptop::boot(
        arch,
        &folder,
        (&guest::program(arch)?, &BTreeSet::new()),
        words,
        |_, line| {
            let figure = line
                .strip_prefix("bench: ")
                .and_then(|figure| figure.split_once(' '));
            match figure.and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?))) {
                Some(("boot-ours", seconds)) => ours.push(seconds),
                Some(("boot-qemu", seconds)) => theirs.push(seconds),
                Some(("memory-service" | "memory-vmm", kibibytes)) => memory.push(kibibytes / 1024.0),
                Some(("wake-ups", rate)) => wake_ups.push(rate),
                _ => eprintln!("    {line}"),
            }
        },
    )?;
    if result != SUCCESS {
        bail!("{result}");
    }
    if memory.len() != 2 {
        bail!(
            "{} processes of sampan were found in place of the service and one machine's",
            memory.len()
        );
    }
    Ok(vec![
        Row::of(
            "KVM: kernel entry to agent ready",
            arch,
            Unit::Seconds,
            &Samples::new(ours)?,
        )
        .against(baseline, &Samples::new(theirs)?)
        .goal(Goal::MostTimes(1.0)),
        Row::alone(
            "KVM: service + VMM, idle 512 MiB guest",
            arch,
            Unit::Mebibytes,
            memory.iter().sum(),
        )
        .goal(Goal::Most(MOST_MEMORY_MIB)),
        Row::of(
            "KVM: wake-ups of service + VMM, idle",
            arch,
            Unit::PerSecond,
            &Samples::new(wake_ups)?,
        )
        .goal(Goal::Most(idle::MOST_WAKE_UPS)),
    ])
}
