//! Booting a guest: data disk, sockets, process, handshake.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use journey::Step;
use protocol::{CONTROL_PORT, STREAM_PORT};
use tokio::sync::oneshot;
use tracing::Instrument;
use vmm::control::{Accelerator, MachineConfig};

use super::control::Control;
use super::guest::{Booted, Guest};
use super::process::VmmProcess;
use super::streams::Streams;
use super::{MachineSettings, disk};
use crate::acceleration::Accelerations;
use crate::sys::{self, Listener};
use crate::{names, time};

/// How long a guest may take from the start of its process to its agent's first word. Emulation on a loaded
/// machine is slow; a guest that crashes is told at once.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// How long the process of an earlier machine may take to be gone.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(30);
/// The log of the machine's process begins anew when it is longer than this, in bytes.
const LONGEST_LOG: u64 = 4 << 20;

/// Boots a guest. An error is in words that follow "the linux/arm64 machine".
pub(super) async fn boot(
    settings: &MachineSettings,
    accelerations: &Accelerations,
) -> Result<Arc<Guest>, String> {
    let chosen = journey::measured(accelerations.choose(settings.architecture), |chosen| {
        Step::AcceleratorChosen {
            name: chosen.map_or_else(String::new, |chosen| chosen.accelerator.to_string()),
            why: chosen.map_or_else(String::new, |chosen| chosen.why.clone()),
        }
    })
    .await?;
    let log_path = settings.directory.join("vmm.log");
    let log = journey::measured(prepare(settings, &log_path), |_| Step::DiskPrepared).await?;
    let accelerator = chosen.accelerator;
    // Every line of the log about this machine names it.
    let span = tracing::info_span!("machine", architecture = %settings.architecture);
    let started = start(settings, accelerator, log, &log_path).instrument(span);
    journey::measured(started, |guest| Step::Booted {
        architecture: settings.architecture.to_string(),
        accelerator: accelerator.to_string(),
        cpus: settings.cpus,
        memory_mib: settings.memory_mib,
        kernel: guest.map_or_else(String::new, |guest| guest.hello.kernel_release.clone()),
        guest_ms: guest.map_or(0, |guest| guest.hello.boot_ns / 1_000_000),
    })
    .await
}

/// Starts the machine's process and waits for its agent.
async fn start(
    settings: &MachineSettings,
    accelerator: Accelerator,
    log: File,
    log_path: &Path,
) -> Result<Arc<Guest>, String> {
    let control_listener = listen(&settings.directory, CONTROL_PORT)?;
    let stream_listener = listen(&settings.directory, STREAM_PORT)?;
    let config = machine_config(settings, accelerator);
    let begun = Instant::now();
    let process = VmmProcess::start(&settings.vmm_command, &config, log, log_path)?;
    let streams = Streams::new(stream_listener);
    let mut ended = process.ended();
    let handshake = async {
        let connection = control_listener
            .accept()
            .await
            .map_err(|error| format!("could not be reached: {error}"))?;
        // The first connection of a boot is PID 1's; no later one counts.
        drop(control_listener);
        Control::accept(connection, settings.architecture).await
    };
    let outcome = tokio::select! {
        accepted = tokio::time::timeout(BOOT_PATIENCE, handshake) => Some(accepted),
        _ = ended.wait_for(Option::is_some) => None,
    };
    match outcome {
        Some(Ok(Ok((control, hello, control_gone)))) => Ok(Guest::new(Booted {
            architecture: settings.architecture,
            hello,
            start_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            ready_ns: u64::try_from(time::now()).unwrap_or_default(),
            control,
            control_gone,
            streams,
            process,
        })),
        Some(Ok(Err(message))) => Err(end_of(&process, Some(message)).await),
        Some(Err(_)) => {
            process.kill();
            Err(format!(
                "did not come up within {} seconds; {} and vmm.log beside it may tell why",
                BOOT_PATIENCE.as_secs(),
                settings.directory.join("console.log").display()
            ))
        }
        None => Err(end_of(&process, None).await),
    }
}

/// Why a boot failed: the machine's own word, if it has one soon, says more than a connection that broke.
async fn end_of(process: &VmmProcess, noticed: Option<String>) -> String {
    let mut ended = process.ended();
    let own = tokio::time::timeout(Duration::from_secs(3), ended.wait_for(Option::is_some))
        .await
        .ok()
        .and_then(|ended| Some(ended.ok()?.as_ref()?.message.clone()));
    if own.is_none() {
        process.kill();
    }
    match (own, noticed) {
        (Some(own), _) => own,
        (None, Some(noticed)) => noticed,
        (None, None) => "ended while it was booting".to_owned(),
    }
}

fn machine_config(settings: &MachineSettings, accelerator: Accelerator) -> MachineConfig {
    MachineConfig {
        id: format!("linux/{}", settings.architecture),
        architecture: settings.architecture,
        accelerator,
        cpus: settings.cpus,
        memory_mib: settings.memory_mib,
        kernel: settings.kernel.clone(),
        initramfs: settings.initramfs.clone(),
        command_line: String::new(),
        directory: settings.directory.clone(),
        data_disk: settings.data_disk(),
        verbose_console: settings.verbose_console,
    }
}

fn listen(directory: &Path, port: u32) -> Result<Listener, String> {
    let path = directory.join(format!("vsock_{port}"));
    let length = path.as_os_str().len();
    if length > sys::socket_path_limit() {
        return Err(format!(
            "cannot be reached: the path of its socket {} has {length} bytes and the system takes {}: set SAMPAN_HOME \
             to a shorter path",
            path.display(),
            sys::socket_path_limit()
        ));
    }
    Listener::bind(&path).map_err(|error| format!("cannot be reached: socket {}: {error}", path.display()))
}

/// The machine's folder, kernel, data disk, and the log whose lock says that this machine is ours alone.
async fn prepare(settings: &MachineSettings, log_path: &Path) -> Result<File, String> {
    for (what, path) in [("kernel", &settings.kernel), ("initramfs", &settings.initramfs)] {
        if !path.is_file() {
            return Err(format!(
                "cannot boot: there is no {what} at {}: set SAMPAN_SHARE to the folder that has it (in a checkout, \
                 `cargo xtask kernel` makes it)",
                path.display()
            ));
        }
    }
    let directory = settings.directory.clone();
    let uuid = names::random::<16>().map_err(|error| error.to_string())?;
    let (path, disk_path) = (log_path.to_owned(), settings.data_disk());
    let log = lock_log(directory, path).await?;
    let bytes = settings.disk_bytes;
    tokio::task::spawn_blocking(move || {
        disk::ensure(&disk_path, bytes, uuid).map_err(|error| {
            format!(
                "has no data disk: {} cannot be made: {error}",
                disk_path.display()
            )
        })
    })
    .await
    .map_err(|error| error.to_string())??;
    Ok(log)
}

/// Opens the log of the machine's process and locks it. The process inherits the lock with its stderr, so the
/// lock is free when that process, and whatever it started, is gone: two never write one data disk.
async fn lock_log(directory: PathBuf, path: PathBuf) -> Result<File, String> {
    let (sender, receiver) = oneshot::channel();
    let name = path.display().to_string();
    std::thread::Builder::new()
        .name("machine-lock".to_owned())
        .spawn(move || {
            let _ = sender.send(open_locked(&directory, &path));
        })
        .map_err(|error| format!("could not be locked: {error}"))?;
    match tokio::time::timeout(PREDECESSOR_PATIENCE, receiver).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(_)) => Err(format!("could not be locked: {name}")),
        Err(_) => Err(format!(
            "is still run by an earlier process that does not end: end the process that has {name} open, then try again"
        )),
    }
}

fn open_locked(directory: &Path, path: &Path) -> Result<File, String> {
    sys::private_directory(directory)
        .map_err(|error| format!("has no folder: {}: {error}", directory.display()))?;
    let failed = |error: std::io::Error| format!("could not be locked: {}: {error}", path.display());
    let log = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .map_err(failed)?;
    match log.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            tracing::info!(path = %path.display(), "waiting for an earlier machine's process to end");
            log.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if log.metadata().is_ok_and(|metadata| metadata.len() > LONGEST_LOG) {
        let _ = log.set_len(0);
    }
    Ok(log)
}
