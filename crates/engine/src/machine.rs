//! Machines: one Linux guest for each architecture, booted by the first command that needs it.
//!
//! ```text
//! engine ── Machine ── boots ──> Guest ─┬─ VmmProcess   the `sampan vmm` child: JSON lines on its stdin and stdout
//!                                       ├─ Control      requests to PID 1 and its events, over vsock
//!                                       ├─ Streams      byte streams, each opened by a one-time token
//!                                       └─ Layers       which image layers are on the layer disk, and where
//! ```
//!
//! A guest that ended is never used again: whoever needs a machine next boots another.

mod boot;
mod clock;
mod control;
mod disk;
mod guest;
mod layers;
mod lease;
mod process;
mod sizes;
mod streams;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journey::Step;
use protocol::Architecture;
use tokio::sync::mpsc;

pub(crate) use control::{GuestError, Watched};
pub(crate) use guest::{Examined, Guest, ProcessKey};
pub(crate) use lease::Lease;
pub(crate) use sizes::{Counted, ToCount};
pub(crate) use streams::ExpectedStream;

use crate::acceleration::Accelerations;
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::types::{MachineReport, MachineState};

/// The file in a machine's folder that is its data disk.
const DATA_DISK: &str = "data.img";

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct MachineSettings {
    pub(crate) architecture: Architecture,
    pub(crate) default: bool,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    pub(crate) disk_bytes: u64,
    pub(crate) verbose_console: bool,
    /// How long nobody uses it before it is to be stopped; `None`: it runs on.
    pub(crate) idle: Option<Duration>,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// The machine's own folder.
    pub(crate) directory: PathBuf,
    pub(crate) vmm_command: Vec<std::ffi::OsString>,
}

impl MachineSettings {
    /// The file that is the guest's data disk.
    pub(crate) fn data_disk(&self) -> PathBuf {
        self.directory.join(DATA_DISK)
    }
}

/// How long a machine that is to stop may take to count what its containers hold.
const COUNT_PATIENCE: Duration = Duration::from_secs(3);

/// Tells whether what the guest has data of still exists.
pub(crate) struct Known {
    /// By the container's ID.
    pub(crate) container: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// By the volume's directory.
    pub(crate) volume: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// What became of a machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MachineEvent {
    /// It booted, and not only after a rest.
    Booted(Architecture),
    /// Nobody used it for as long as its settings say.
    Unused(Architecture),
}

/// One machine, whether it runs or not.
pub(crate) struct Machine {
    pub(crate) settings: MachineSettings,
    pub(crate) accelerations: Arc<Accelerations>,
    known: Known,
    events: mpsc::UnboundedSender<MachineEvent>,
    /// Held while booting or stopping.
    transition: tokio::sync::Mutex<()>,
    current: Mutex<Option<Arc<Guest>>>,
    /// How often the user stopped it.
    stops: AtomicU64,
    /// It was stopped as nobody used it, so nothing is to start with its next boot.
    rests: AtomicBool,
    /// Boots that were tried, and why the last one failed.
    attempts: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Machine {
    pub(crate) fn new(
        settings: MachineSettings,
        accelerations: Arc<Accelerations>,
        known: Known,
        events: mpsc::UnboundedSender<MachineEvent>,
    ) -> Self {
        Self {
            settings,
            accelerations,
            known,
            events,
            transition: tokio::sync::Mutex::default(),
            current: Mutex::default(),
            stops: AtomicU64::new(0),
            rests: AtomicBool::new(false),
            attempts: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }

    pub(crate) fn architecture(&self) -> Architecture {
        self.settings.architecture
    }

    /// The guest that runs now, if one does.
    pub(crate) fn running(&self) -> Option<Lease> {
        let current = self.current.locked();
        let guest = current.as_ref().filter(|guest| guest.is_alive());
        guest.cloned().map(Lease::of)
    }

    /// The running guest, booted if there is none. Everybody who asks while a boot is under way gets its
    /// outcome. Cancelling the future does not stop the boot.
    pub(crate) async fn guest(self: &Arc<Self>) -> Result<Lease> {
        if let Some(guest) = self.running() {
            journey::happened(|| Step::MachineRan {
                architecture: self.settings.architecture.to_string(),
                kernel: guest.hello.kernel_release.clone(),
            });
            return Ok(guest);
        }
        let seen = self.attempts.load(Ordering::Acquire);
        let machine = self.clone();
        tokio::spawn(journey::carry(async move { machine.boot_after(seen).await }))
            .await
            .map_err(|error| self.error(format!("could not be booted: {error}")))?
    }

    async fn boot_after(self: Arc<Self>, seen: u64) -> Result<Lease> {
        let waiting = journey::begin();
        let _transition = self.transition.lock().await;
        if let Some(guest) = self.running() {
            waiting.done(|| Step::MachineAwaited {
                architecture: self.settings.architecture.to_string(),
            });
            return Ok(guest);
        }
        if self.attempts.load(Ordering::Acquire) > seen
            && let Some(message) = self.last_error.locked().clone()
        {
            return Err(self.error(message));
        }
        self.current.locked().take();
        let booted = boot::boot(&self.settings, &self.accelerations).await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        match booted {
            Ok(guest) => {
                *self.last_error.locked() = None;
                let lease = Lease::of(guest.clone());
                guest.forget_unknown(&self.known);
                self.watch_use(&guest);
                *self.current.locked() = Some(guest);
                if !self.rests.swap(false, Ordering::AcqRel) {
                    // Nobody listens when the engine is going away.
                    let _ = self.events.send(MachineEvent::Booted(self.settings.architecture));
                }
                Ok(lease)
            }
            Err(message) => {
                tracing::error!(architecture = %self.settings.architecture, message, "boot failed");
                *self.last_error.locked() = Some(message.clone());
                Err(self.error(message))
            }
        }
    }

    /// Tells each time that nobody used the guest for a while, until it ends.
    fn watch_use(&self, guest: &Arc<Guest>) {
        let Some(patience) = self.settings.idle else {
            return;
        };
        let mut leases = guest.leases.watch();
        let guest = Arc::downgrade(guest);
        let (events, architecture) = (self.events.clone(), self.settings.architecture);
        tokio::spawn(async move {
            while lease::unused(&mut leases, patience).await
                && guest.upgrade().is_some_and(|guest| guest.is_alive())
                && events.send(MachineEvent::Unused(architecture)).is_ok()
            {}
        });
    }

    /// Stops the guest in an orderly way, its data disk written out, and remembers what `wanted` held before. A machine
    /// that does not run is no error.
    pub(crate) async fn stop(self: &Arc<Self>, wanted: ToCount) {
        let machine = self.clone();
        let stopping = tokio::spawn(async move {
            let _transition = machine.transition.lock().await;
            let guest = machine.current.locked().take();
            // Whoever finds that the guest is not stopping yet has seen the old number.
            let alive = guest.as_ref().is_some_and(|guest| guest.begin_stop());
            machine.stops.fetch_add(1, Ordering::AcqRel);
            machine.rests.store(false, Ordering::Release);
            if let Some(guest) = guest {
                machine.end(&guest, alive, wanted).await;
            }
        });
        let _ = stopping.await;
    }

    /// The same for a guest that nobody uses. One that somebody uses goes on, and one that ended by itself stays, to tell
    /// why.
    pub(crate) async fn stop_unused(self: &Arc<Self>, wanted: ToCount) {
        let machine = self.clone();
        let stopping = tokio::spawn(async move {
            let _transition = machine.transition.lock().await;
            // Leases are given out under the same lock, so that from here on nobody gets one.
            let is_unused = |guest: &mut Arc<Guest>| guest.is_alive() && guest.leases.is_empty();
            let guest = machine.current.locked().take_if(is_unused);
            let Some(guest) = guest else { return };
            tracing::info!(architecture = %machine.architecture(), "nobody uses the machine: it is stopped");
            let alive = guest.begin_stop();
            machine.rests.store(alive, Ordering::Release);
            machine.end(&guest, alive, wanted).await;
        });
        let _ = stopping.await;
    }

    /// Ends a guest that was taken from its users.
    async fn end(&self, guest: &Guest, alive: bool, wanted: ToCount) {
        let counted = if alive && !wanted.is_empty() {
            let counting = tokio::time::timeout(COUNT_PATIENCE, guest.count(&wanted));
            counting.await.ok().and_then(Result::ok)
        } else {
            None
        };
        if guest.shutdown().await
            && let Some(counted) = counted
        {
            let (directory, disk) = (self.settings.directory.clone(), self.settings.data_disk());
            let remembering =
                tokio::task::spawn_blocking(move || sizes::remember(&directory, &disk, counted));
            let _ = remembering.await;
        }
    }

    /// How often the user stopped it.
    pub(crate) fn stops(&self) -> u64 {
        self.stops.load(Ordering::Acquire)
    }

    /// What these held when the machine stopped, if that is known and nothing changed since then.
    pub(crate) async fn recall_sizes(&self, wanted: &ToCount) -> Option<Counted> {
        let (directory, disk) = (self.settings.directory.clone(), self.settings.data_disk());
        let wanted = wanted.clone();
        let recalling = tokio::task::spawn_blocking(move || sizes::recall(&directory, &disk, &wanted));
        recalling.await.ok().flatten()
    }

    /// An error that names this machine.
    pub(crate) fn error(&self, what: impl Into<String>) -> EngineError {
        EngineError::Machine {
            architecture: self.settings.architecture,
            what: what.into(),
        }
    }

    /// What `sampan machine inspect` tells. Finds the accelerator out if it was not yet.
    pub(crate) async fn report(&self) -> MachineReport {
        let settings = &self.settings;
        let chosen = self.accelerations.choose(settings.architecture).await;
        let guest = self.running();
        let inspection = match &guest {
            Some(guest) => guest.inspect().await,
            None => None,
        };
        let ended = self.current.locked().as_ref().and_then(|guest| guest.end());
        let (accelerator, why) = match chosen {
            Ok(chosen) => (Some(chosen.accelerator), chosen.why),
            Err(why) => (None, why),
        };
        MachineReport {
            architecture: settings.architecture,
            state: if guest.is_some() {
                MachineState::Running
            } else {
                MachineState::Stopped
            },
            default: settings.default,
            accelerator,
            why,
            cpus: settings.cpus,
            memory_mib: settings.memory_mib,
            directory: settings.directory.display().to_string(),
            kernel: settings.kernel.display().to_string(),
            initramfs: settings.initramfs.display().to_string(),
            kernel_release: guest.as_ref().map(|guest| guest.hello.kernel_release.clone()),
            pid: guest.as_ref().map(|guest| guest.pid()),
            boot_ms: guest.as_ref().and_then(|guest| guest.boot_ms()),
            start_ms: guest.as_ref().map(|guest| guest.start_ms),
            containers: guest.as_ref().map_or(0, |guest| guest.container_count()),
            inspection,
            last_error: self.last_error.locked().clone().or(ended),
        }
    }
}
