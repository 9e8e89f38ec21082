//! Machines on the true KVM of a virtual laptop: how soon the same kernel and initramfs say hello in ours and in QEMU's
//! leanest machine, and what ours costs while it is idle.
//!
//! The clock starts when the guest's processor may execute its first instruction: at the event `entered` of `sampan
//! vmm`, at `cont` for QEMU that was started with `-S` (docs/interop/qemu-qmp-ref). It stops when the first bytes of the
//! agent's hello are there. Each boot has a fresh copy of the data disk; all files are in memory.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{report, runs, system};

/// The build machine's folder.
const FOLDER: &str = "/laptop";
const WORK: &str = "/tmp/bench";
const CONTROL_PORT: u32 = 1024;
const ANY_CID: u32 = u32::MAX;
const MEMORY_MIB: u32 = 512;
/// A guest that says nothing for so long is not coming.
const PATIENCE: Duration = Duration::from_secs(120);
/// After its start an idle machine gives free pages back within seconds.
const SETTLE: Duration = Duration::from_secs(10);
/// How long wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(20);

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "amd64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "arm64";

pub(crate) fn measure() -> Result<()> {
    system::mount_pseudo(Path::new("/"))?;
    let options = "trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro";
    system::mount_one("laptop", Path::new(FOLDER), "9p", options)?;
    fs::create_dir_all(WORK)?;
    for name in ["kernel", "initramfs"] {
        fs::copy(format!("{FOLDER}/share/{name}-{ARCHITECTURE}"), work(name))?;
    }
    // The first boot of each finds nothing in the caches.
    ours()?;
    qemu()?;
    for _ in 0..runs() {
        report("boot-ours", ours()?.as_secs_f64());
        report("boot-qemu", qemu()?.as_secs_f64());
    }
    idle()
}

fn work(name: &str) -> PathBuf {
    Path::new(WORK).join(name)
}

/// Boots with `sampan vmm`.
fn ours() -> Result<Duration> {
    fresh_disks()?;
    let socket = work(&format!("vsock_{CONTROL_PORT}"));
    let _ = fs::remove_file(&socket);
    let listener = listen(Domain::UNIX, &SockAddr::unix(&socket)?)?;
    let config = json!({
        "id": "bench",
        "architecture": ARCHITECTURE,
        "accelerator": "kvm",
        "cpus": 1,
        "memory_mib": MEMORY_MIB,
        "kernel": work("kernel"),
        "initramfs": work("initramfs"),
        "command_line": "",
        "directory": WORK,
        "data_disk": work("data.img"),
        "verbose_console": false,
    });
    let mut machine = Machine::start(Command::new(format!("{FOLDER}/bin/sampan")).arg("vmm"))?;
    machine.tell(&config)?;
    let event = machine.hear()?;
    let begun = Instant::now();
    if event.get("entered").is_none() {
        bail!("`sampan vmm` did not start its machine: {event}");
    }
    hello(&listener)?;
    Ok(begun.elapsed())
}

/// Boots with Debian's QEMU.
fn qemu() -> Result<Duration> {
    fresh_disks()?;
    let listener = listen(Domain::VSOCK, &SockAddr::vsock(ANY_CID, CONTROL_PORT))?;
    let mut machine = Machine::start(&mut qemu_command()?)?;
    // The greeting.
    machine.hear()?;
    machine.tell(&json!({ "execute": "qmp_capabilities" }))?;
    machine.hear()?;
    machine.tell(&json!({ "execute": "cont" }))?;
    let begun = Instant::now();
    hello(&listener)?;
    Ok(begun.elapsed())
}

fn qemu_command() -> Result<Command> {
    let debian = Path::new(FOLDER).join("qemu");
    let (loader, triple, program, machine, words) = if cfg!(target_arch = "x86_64") {
        (
            "usr/lib64/ld-linux-x86-64.so.2",
            "x86_64-linux-gnu",
            "qemu-system-x86_64",
            "microvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=on,x-option-roms=off,auto-kernel-cmdline=on",
            "console=ttyS0 quiet panic=-1 reboot=t no_timer_check 8250.nr_uarts=1",
        )
    } else {
        (
            "usr/lib/ld-linux-aarch64.so.1",
            "aarch64-linux-gnu",
            "qemu-system-aarch64",
            "virt,gic-version=host",
            "console=ttyAMA0 quiet panic=-1",
        )
    };
    // Debian's program with Debian's libraries, in place where they were unpacked (ld.so(8)).
    let libraries = debian.join("usr/lib").join(triple);
    let mut command = Command::new(debian.join(loader));
    command
        .arg("--library-path")
        .arg(&libraries)
        .arg(debian.join("usr/bin").join(program));
    for data in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(debian.join(data));
    }
    let disk = |name: &str| {
        format!(
            "if=none,id={name},format=raw,file={}",
            work(&format!("{name}.img")).display()
        )
    };
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-S",
        ])
        .args(["-accel", "kvm", "-cpu", "host", "-machine", machine, "-smp", "1"])
        .args([
            "-m",
            &format!("{MEMORY_MIB}M"),
            "-serial",
            "null",
            "-qmp",
            "stdio",
        ])
        .arg("-kernel")
        .arg(work("kernel"))
        .arg("-initrd")
        .arg(work("initramfs"))
        .args(["-append", words, "-global", "virtio-mmio.force-legacy=false"])
        .args([
            "-drive",
            &disk("layers"),
            "-device",
            "virtio-blk-device,drive=layers,serial=layers",
        ])
        .args([
            "-drive",
            &disk("data"),
            "-device",
            "virtio-blk-device,drive=data,serial=data",
        ])
        .args([
            "-device",
            "vhost-vsock-device,guest-cid=3",
            "-device",
            "virtio-rng-device",
        ])
        .args(["-device", "virtio-balloon-device,free-page-reporting=on"]);
    Ok(command)
}

fn fresh_disks() -> Result<()> {
    fs::copy(format!("{FOLDER}/data.img"), work("data.img"))?;
    fs::File::create(work("layers.img"))?.set_len(1 << 20)?;
    Ok(())
}

fn listen(domain: Domain, address: &SockAddr) -> Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.bind(address).context("cannot listen for the guest")?;
    socket.listen(4)?;
    // Of accept(2) as well.
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Waits for the agent's first bytes.
fn hello(listener: &Socket) -> Result<()> {
    let (mut agent, _) = listener.accept().context("the guest did not connect")?;
    agent.set_read_timeout(Some(PATIENCE))?;
    agent
        .read_exact(&mut [0; 16])
        .context("the guest did not say hello")
}

/// The memory of service and machine's process, guest pages included, and how often their threads wake up in a second.
fn idle() -> Result<()> {
    let home = "/tmp/home";
    fs::create_dir_all(home)?;
    let settings = format!(
        "architecture = \"{ARCHITECTURE}\"\nacceleration = \"kvm\"\ncpus = 1\nmemory = \"{MEMORY_MIB}m\"\n"
    );
    fs::write(format!("{home}/config.toml"), settings)?;
    let sampan = format!("{FOLDER}/bin/sampan");
    let output = Command::new(&sampan)
        .args(["machine", "start"])
        .env("SAMPAN_HOME", home)
        .env("SAMPAN_SHARE", format!("{FOLDER}/share"))
        .output()?;
    if !output.status.success() {
        bail!(
            "`sampan machine start` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    std::thread::sleep(SETTLE);
    let before = wake_ups(&sampan)?;
    std::thread::sleep(WATCHED);
    let woken = wake_ups(&sampan)?.saturating_sub(before);
    report("wake-ups", woken as f64 / WATCHED.as_secs_f64());
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        if is_program(&folder, &sampan) {
            let rollup = fs::read_to_string(folder.join("smaps_rollup"))?;
            let pss = rollup
                .lines()
                .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
            let arguments = fs::read(folder.join("cmdline"))?;
            let vmm = arguments
                .split(|&byte| byte == 0)
                .any(|argument| argument == b"vmm");
            report(
                if vmm { "memory-vmm" } else { "memory-service" },
                pss.context("no Pss")?.parse()?,
            );
        }
    }
    Ok(())
}

/// Whether the process of this folder of /proc runs the program.
fn is_program(process: &Path, program: &str) -> bool {
    fs::read_link(process.join("exe")).is_ok_and(|path| path == Path::new(program))
}

/// How often threads of the program's processes went to sleep by themselves (proc_pid_status(5)).
fn wake_ups(program: &str) -> Result<u64> {
    let mut sum = 0;
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        if !is_program(&process, program) {
            continue;
        }
        for thread in fs::read_dir(process.join("task"))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let sleeps = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sum += sleeps
                .context("no voluntary_ctxt_switches")?
                .trim()
                .parse::<u64>()?;
        }
    }
    Ok(sum)
}

/// A machine's process that takes and says lines of JSON. It ends when this is dropped.
struct Machine {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Machine {
    fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let input = process.stdin.take().context("stdin")?;
        let output = BufReader::new(process.stdout.take().context("stdout")?);
        Ok(Self {
            process,
            input,
            output,
        })
    }

    fn tell(&mut self, value: &Value) -> Result<()> {
        Ok(writeln!(self.input, "{value}")?)
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the machine's process ended ({})", self.process.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
