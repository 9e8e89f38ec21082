//! The engine itself: what it is made of, how it opens and how it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bollard_stubs::models::HostConfigLogConfig;
use protocol::Architecture;
use store::Store;
use tokio::sync::mpsc;

use crate::acceleration::Accelerations;
use crate::config::EngineConfig;
use crate::container::{Container, Execs};
use crate::error::{EngineError, Result};
use crate::events::Events;
use crate::log::{self, LogSettings};
use crate::machine::{Known, Machine, MachineEvent, MachineSettings};
use crate::network::Networks;
use crate::record::{Record, VolumeMount};
use crate::registry::Registry;
use crate::state::{State, Unreadable};
use crate::volumes::Volumes;
use crate::{names, sys, time};

/// What a container's `State.Error` says when its service was killed while it ran.
const SERVICE_GONE: &str = "the sampan service ended while the container was running";

/// The engine of one user. Clones are handles to the same one.
///
/// Every async function that changes something goes on when its future is dropped, so that a client that
/// hangs up leaves nothing half done.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) id: String,
    /// Records that were there and could not be understood.
    pub(crate) unreadable: Unreadable,
    pub(crate) store: Store,
    pub(crate) state: State,
    pub(crate) registry: Arc<Registry>,
    pub(crate) volumes: Arc<Volumes>,
    pub(crate) networks: Networks,
    pub(crate) events: Events,
    pub(crate) execs: Execs,
    /// Shared from the look at an image to the container that uses it; alone from the look at who uses an image to its
    /// removal.
    pub(crate) image_users: tokio::sync::RwLock<()>,
    amd64: Arc<Machine>,
    arm64: Arc<Machine>,
    /// Held for as long as the engine lives.
    _lock: File,
}

impl Engine {
    /// Opens the engine: takes the lock on its home, opens store and database, and makes the records true:
    /// what ran when an earlier service was killed has exited. Blocks on the disk; call it inside a tokio
    /// runtime.
    pub fn open(config: EngineConfig) -> Result<Self> {
        let mut log = HostConfigLogConfig::default();
        log::settle(&config.log, &mut log);
        LogSettings::parse(&log)?;
        let home = &config.home;
        sys::private_directory(home).map_err(EngineError::io(format!(
            "the folder {} cannot be made",
            home.display()
        )))?;
        let lock = lock(home)?;
        let store = Store::open(config.store())?;
        let (state, contents) = State::open(&home.join("engine.redb"), &names::new_id()?)?;
        let containers = home.join("containers");
        sys::private_directory(&containers).map_err(EngineError::io(format!(
            "the folder {} cannot be made",
            containers.display()
        )))?;
        let registry = Arc::new(Registry::default());
        let networks = Networks::open(contents.networks, &state)?;
        let volumes = Arc::new(Volumes::new(contents.volumes));
        let mut lost_volumes = Vec::new();
        for record in contents.records {
            reconcile(&registry, &mut lost_volumes, &state, record, &containers)?;
        }
        lost_volumes.retain(|volume| !registry.uses_volume(&volume.name));
        volumes.drop_anonymous(&state, &lost_volumes)?;
        sweep(&containers, &registry, &contents.unreadable.containers);
        let accelerations = Arc::new(Accelerations::new(config.acceleration));
        let unreadable = !contents.unreadable.containers.is_empty() || contents.unreadable.volumes > 0;
        let (sender, events) = mpsc::unbounded_channel();
        let machine = |architecture| {
            Arc::new(new_machine(
                &config,
                architecture,
                &accelerations,
                &registry,
                &volumes,
                &sender,
                unreadable,
            ))
        };
        let (amd64, arm64) = (machine(Architecture::Amd64), machine(Architecture::Arm64));
        let inner = Inner {
            id: contents.engine_id,
            unreadable: contents.unreadable,
            store,
            state,
            registry,
            volumes,
            networks,
            events: Events::default(),
            execs: Execs::default(),
            image_users: tokio::sync::RwLock::default(),
            amd64,
            arm64,
            _lock: lock,
            config,
        };
        let inner = Arc::new(inner);
        tokio::spawn(follow_machines(Arc::downgrade(&inner), events));
        Ok(Self { inner })
    }

    /// What the engine was opened with.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// Stops the machines in an orderly way: their containers are killed and their data disks written out.
    /// Commands that come later boot them again.
    pub async fn shutdown(&self) {
        tokio::join!(
            self.inner.stop_machine(Architecture::Amd64),
            self.inner.stop_machine(Architecture::Arm64)
        );
    }

    /// Runs an operation to its end even if the caller's future is dropped.
    pub(crate) async fn complete<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        tokio::spawn(journey::carry(operation))
            .await
            .map_err(|error| EngineError::Internal(format!("an operation was interrupted: {error}")))?
    }
}

impl Inner {
    /// The machine of an architecture.
    pub(crate) fn machine(&self, architecture: Architecture) -> &Arc<Machine> {
        match architecture {
            Architecture::Amd64 => &self.amd64,
            Architecture::Arm64 => &self.arm64,
        }
    }

    /// Both machines, the default one first.
    pub(crate) fn machines(&self) -> [&Arc<Machine>; 2] {
        match self.config.architecture {
            Architecture::Amd64 => [&self.amd64, &self.arm64],
            Architecture::Arm64 => [&self.arm64, &self.amd64],
        }
    }

    /// The folder with a folder for each container.
    pub(crate) fn containers_folder(&self) -> PathBuf {
        self.config.home.join("containers")
    }
}

/// Starts what its policy wants to run: now, and of each machine when it boots. Stops machines that nobody uses.
async fn follow_machines(inner: Weak<Inner>, mut events: mpsc::UnboundedReceiver<MachineEvent>) {
    if let Some(inner) = inner.upgrade() {
        inner.start_by_policy(None).await;
    }
    while let Some(event) = events.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        match event {
            MachineEvent::Booted(architecture) => inner.start_by_policy(Some(architecture)).await,
            MachineEvent::Unused(architecture) => inner.stop_unused_machine(architecture).await,
        }
    }
}

fn new_machine(
    config: &EngineConfig,
    architecture: Architecture,
    accelerations: &Arc<Accelerations>,
    registry: &Arc<Registry>,
    volumes: &Arc<Volumes>,
    events: &mpsc::UnboundedSender<MachineEvent>,
    unreadable: bool,
) -> Machine {
    let settings = MachineSettings {
        architecture,
        default: architecture == config.architecture,
        cpus: config.cpus,
        memory_mib: config.memory_mib,
        disk_bytes: config.disk_bytes,
        verbose_console: config.verbose_console,
        idle: config.idle,
        kernel: config.kernel(architecture),
        initramfs: config.initramfs(architecture),
        directory: config.machine(architecture),
        vmm_command: config.vmm_command.clone(),
    };
    let (registry, volumes) = (registry.clone(), volumes.clone());
    let known = Known {
        // What cannot be read is not thrown out for it.
        container: Box::new(move |id| unreadable || registry.get(id).is_some()),
        volume: Box::new(move |id| unreadable || volumes.has_directory(id)),
    };
    Machine::new(settings, accelerations.clone(), known, events.clone())
}

/// One service at a time has a home.
fn lock(home: &Path) -> Result<File> {
    let path = home.join("service.lock");
    let what = format!("{} cannot be locked", path.display());
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(EngineError::io(what.clone()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EngineError::HomeInUse(home.to_owned())),
        Err(TryLockError::Error(error)) => Err(EngineError::io(what)(error)),
    }
}

/// Takes a record of an earlier service in: nothing of it runs now.
fn reconcile(
    registry: &Registry,
    lost_volumes: &mut Vec<VolumeMount>,
    state: &State,
    mut record: Record,
    containers: &Path,
) -> Result<()> {
    if record.auto_remove() {
        lost_volumes.extend(record.volumes);
        return state.delete_lazily::<Record>(&record.id);
    }
    if record.state.phase.is_active() {
        record.state.lost(time::now(), SERVICE_GONE);
        state.put_soon(&record)?;
    }
    match registry.reserve(Some(&record.name), &record.id) {
        Ok(_) => {}
        // Two records of one name are a mistake of earlier, and no reason to serve nobody.
        Err(EngineError::NameInUse { .. }) => {
            record.name = registry.reserve(None, &record.id)?;
            state.put_soon(&record)?;
        }
        Err(error) => return Err(error),
    }
    registry.insert(Arc::new(Container::new(record, containers)));
    Ok(())
}

/// Deletes the folders of containers that do not exist any more.
fn sweep(containers: &Path, registry: &Registry, unreadable: &[String]) {
    let Ok(entries) = std::fs::read_dir(containers) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str() else { continue };
        let known = registry.get(id).is_some() || unreadable.iter().any(|unreadable| unreadable == id);
        if !known && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, path = %entry.path().display(), "a folder of a removed container is left over");
        }
    }
}
