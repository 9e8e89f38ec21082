//! Bytes and round trips between host and guest over vsock: our device over vhost-user against the rust-vmm project's
//! `vhost-device-vsock`, both under the same QEMU with the same guest. The clock is the host's.
//!
//! The guest (`bench-guest`, `BENCH=vsock`) connects to [`DOWN`], [`UP`] and [`ECHO`] one after the other; both devices
//! turn a connection to port P into one to the Unix socket `<path>_P`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde_json::json;

use super::report::{Goal, Row, Unit};
use super::samples::Samples;
use super::{Bench, guest};
use crate::architecture::Architecture;
use crate::emulator::{Emulator, SUCCESS};
use crate::{paths, publish, run};

/// The host sends [`BYTES`]; the guest answers with one. There is no half-close, which the other device takes for the
/// end of both directions.
const DOWN: u32 = 5001;
/// The guest sends [`BYTES`]; the host then closes.
const UP: u32 = 5002;
/// The guest sends back what it gets.
const ECHO: u32 = 5003;

const PEER: &str = "vhost-device-vsock";
const PEER_VERSION: &str = "0.3.0";

const BYTES: usize = 256 << 20;
const PIECE: usize = 64 << 10;
const ROUND_TRIPS: u32 = 5000;
const MESSAGE: [u8; 64] = [7; 64];
const MEMORY_MIB: u32 = 512;
/// Times the other device's.
const LEAST: f64 = 1.5;
/// No single read or write takes longer, or the guest is gone.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured of one device.
#[derive(Default)]
struct Figures {
    down: Vec<f64>,
    up: Vec<f64>,
    round_trips: Vec<f64>,
}

pub(super) fn measure(bench: &Bench, arch: Architecture) -> Result<Vec<Row>> {
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for turn in 1..=bench.runs {
        run::step(&format!(
            "measuring vsock with an {} guest, {turn} of {}",
            arch.docker(),
            bench.runs
        ));
        with_ours(bench, arch, &mut ours)?;
        with_theirs(bench, arch, &mut theirs)?;
    }
    let row = |what, unit, ours, theirs| {
        Ok::<_, anyhow::Error>(
            Row::of(what, arch, unit, &Samples::new(ours)?)
                .against("vhost-device-vsock", &Samples::new(theirs)?)
                .goal(Goal::LeastTimes(LEAST)),
        )
    };
    Ok(vec![
        row(
            "vsock: host to guest",
            Unit::MegabytesPerSecond,
            ours.down,
            theirs.down,
        )?,
        row(
            "vsock: guest to host",
            Unit::MegabytesPerSecond,
            ours.up,
            theirs.up,
        )?,
        row(
            "vsock: round trips",
            Unit::PerSecond,
            ours.round_trips,
            theirs.round_trips,
        )?,
    ])
}

fn words() -> Vec<String> {
    vec!["BENCH=vsock".to_owned(), format!("BENCH_BYTES={BYTES}")]
}

/// Our device: the machine's own process, with the guest's program in place of ours.
fn with_ours(bench: &Bench, arch: Architecture, figures: &mut Figures) -> Result<()> {
    let folder = Folder::new()?;
    let data = folder.0.join("data.img");
    fs::File::create(&data)?.set_len(1 << 20)?;
    let config = json!({
        "id": "bench",
        "architecture": arch.docker(),
        "accelerator": "tcg",
        "cpus": guest::CPUS,
        "memory_mib": MEMORY_MIB,
        "kernel": bench.kernel(arch),
        "initramfs": guest::initramfs(arch)?,
        "command_line": words().join(" "),
        "directory": folder.0,
        "data_disk": data,
        "verbose_console": false,
    });
    let host = Host::listen(&folder.path("vsock"))?;
    let mut process = Command::new(bench.dist.join("bin/sampan"))
        .arg("vmm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.0.join("vmm.log"))?)
        .spawn()
        .context("cannot start `sampan vmm`")?;
    let mut commands = process.stdin.take().context("the input of `sampan vmm`")?;
    let mut events = BufReader::new(process.stdout.take().context("the output of `sampan vmm`")?);
    let mut process = Helper(process);
    writeln!(commands, "{config}")?;
    let mut event = String::new();
    events.read_line(&mut event)?;
    if !event.contains("entered") {
        bail!("`sampan vmm` did not start its machine: {event}");
    }
    let measured = host.measure(figures);
    drop(commands);
    process.0.wait()?;
    measured
}

/// rust-vmm's device.
fn with_theirs(bench: &Bench, arch: Architecture, figures: &mut Figures) -> Result<()> {
    let folder = Folder::new()?;
    let device = folder.path("device");
    let host = Host::listen(&folder.path("vsock"))?;
    let process = Command::new(peer()?)
        .arg("--vm")
        .arg(format!(
            "guest-cid=3,socket={},uds-path={}",
            device.display(),
            folder.path("vsock").display()
        ))
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {PEER}"))?;
    let _process = Helper(process);
    wait_for(&device)?;
    let emulator = Emulator {
        vsock: Some(device),
        ..guest::machine(bench, arch, MEMORY_MIB, words(), PATIENCE)?
    };
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| emulator.run(PATIENCE, |_, line| eprintln!("    {line}")));
        let measured = host.measure(figures);
        let result = guest
            .join()
            .map_err(|_| anyhow::anyhow!("the thread of QEMU panicked"))??;
        if result != SUCCESS {
            bail!("the guest of vhost-device-vsock failed: {result}");
        }
        measured
    })
}

/// The program `vhost-device-vsock`, compiled on the first use.
fn peer() -> Result<PathBuf> {
    let path = paths::cache()
        .join("tools")
        .join(format!("{PEER}-{PEER_VERSION}"));
    publish::once(&path, |draft| {
        run::step(&format!("compiling {PEER} {PEER_VERSION}"));
        let root = draft.with_extension("cargo");
        run::run(
            Command::new("cargo")
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--version",
                    PEER_VERSION,
                    PEER,
                    "--root",
                ])
                .arg(&root),
        )?;
        fs::rename(root.join("bin").join(PEER), draft)?;
        publish::remove(&root)
    })
}

/// Waits until there is something at `path` (inotify(7)).
fn wait_for(path: &Path) -> Result<()> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    let folder = path.parent().context("a path in a folder")?;
    inotify::add_watch(&events, folder, inotify::WatchFlags::CREATE)?;
    let patience = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    while !path.exists() {
        if poll(&mut [PollFd::new(&events, PollFlags::IN)], Some(&patience))? == 0 {
            bail!("there is still no {}", path.display());
        }
        rustix::io::read(&events, &mut [0; 4096])?;
    }
    Ok(())
}

/// The host's three listeners.
struct Host {
    down: UnixListener,
    up: UnixListener,
    echo: UnixListener,
}

impl Host {
    fn listen(path: &Path) -> Result<Self> {
        let listen = |port: u32| {
            let path = format!("{}_{port}", path.display());
            UnixListener::bind(&path).with_context(|| format!("cannot listen on {path}"))
        };
        Ok(Self {
            down: listen(DOWN)?,
            up: listen(UP)?,
            echo: listen(ECHO)?,
        })
    }

    fn measure(&self, figures: &mut Figures) -> Result<()> {
        let piece = vec![7; PIECE];
        let rate = |begun: Instant| BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64();

        let mut down = accept(&self.down)?;
        let begun = Instant::now();
        for _ in 0..BYTES / PIECE {
            down.write_all(&piece)?;
        }
        down.read_exact(&mut [0])?;
        figures.down.push(rate(begun));

        let mut up = accept(&self.up)?;
        let mut piece = piece;
        // The clock starts with the first byte: the guest has its turn to connect and allocate.
        let mut left = BYTES - up.read(&mut piece)?;
        let begun = Instant::now();
        while left > 0 {
            match up.read(&mut piece)? {
                0 => bail!("the guest sent {left} bytes too few"),
                count => left = left.saturating_sub(count),
            }
        }
        figures.up.push(rate(begun));
        drop(up);

        let mut echo = accept(&self.echo)?;
        let mut answer = MESSAGE;
        let begun = Instant::now();
        for _ in 0..ROUND_TRIPS {
            echo.write_all(&MESSAGE)?;
            echo.read_exact(&mut answer)?;
        }
        figures
            .round_trips
            .push(f64::from(ROUND_TRIPS) / begun.elapsed().as_secs_f64());
        Ok(())
    }
}

fn accept(listener: &UnixListener) -> Result<UnixStream> {
    // The standard library has no accept(2) with a timeout.
    let listener = listener.try_clone()?;
    let (sender, accepted) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(listener.accept()));
    let (stream, _) = accepted
        .recv_timeout(PATIENCE)
        .context("the guest did not connect")??;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A folder in /tmp that goes with this.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("sampan-vsock-{}", std::process::id()));
        publish::remove(&folder)?;
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = publish::remove(&self.0);
    }
}

/// A process that ends when this is dropped.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
