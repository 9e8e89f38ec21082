//! A container in memory, and its life.

mod attach;
mod capabilities;
mod create;
mod devices;
mod exec;
mod files;
mod health;
mod inspect;
mod launch;
mod lifecycle;
mod limits;
mod list;
mod mounts;
mod remove;
mod resolve;
mod restart;
mod run;
mod signal;
mod spec;
mod stats;
mod stdio;
mod top;
mod update;
mod validate;
mod wait;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard_stubs::models::{Health, HostConfigLogConfig};
use tokio::sync::{Notify, watch};

pub(crate) use exec::Execs;
pub use files::FileStream;
pub(crate) use mounts::{LOCAL, Wanted};
pub(crate) use remove::until_time;
pub(crate) use spec::resolv_conf;

use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::log::{LogFile, LogSettings, Subject};
use crate::machine::Lease;
use crate::network::Active;
use crate::record::Record;
use crate::state::{Commit, State};
use crate::stream::{Hub, StdinPipe};

/// What waiters watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Runs that ended since the service started.
    pub(crate) exits: u64,
    /// How the last of them ended.
    pub(crate) exit_code: i64,
    pub(crate) error: Option<String>,
    pub(crate) removed: bool,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    record: Mutex<Record>,
    /// Held while the container is being started or removed.
    pub(crate) transition: Arc<tokio::sync::Mutex<()>>,
    pub(crate) removing: AtomicBool,
    /// Whether its record is deleted.
    forgotten: AtomicBool,
    /// Told when the restart that is waited for is given up.
    restart_cancelled: Notify,
    /// The last wait before a restart by the policy.
    last_wait: Mutex<Option<Duration>>,
    /// What the checks of this run, or the last, came to.
    health: Mutex<Option<Health>>,
    /// Set between the stop and the start of a restart.
    pub(crate) restarting: AtomicBool,
    pub(crate) progress: watch::Sender<Progress>,
    /// The clients that are attached, or wait for the next run.
    pub(crate) hub: Arc<Hub>,
    /// The stdin of this run, or of the next.
    stdin: Mutex<Arc<StdinPipe>>,
    /// Absent where its log driver keeps nothing.
    pub(crate) log: Option<Arc<LogFile>>,
    /// What it has on networks while it runs, by their IDs.
    active: Mutex<BTreeMap<String, Active>>,
    /// The guest that it runs in.
    guest: Mutex<Option<Lease>>,
}

impl Container {
    pub(crate) fn new(record: Record, containers: &Path) -> Self {
        let log = log_of(&record, &containers.join(&record.id));
        let progress = Progress {
            exit_code: record.state.exit_code,
            ..Progress::default()
        };
        Self {
            id: record.id.clone(),
            record: Mutex::new(record),
            transition: Arc::default(),
            removing: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
            restart_cancelled: Notify::new(),
            last_wait: Mutex::default(),
            health: Mutex::default(),
            restarting: AtomicBool::new(false),
            progress: watch::Sender::new(progress),
            hub: Arc::default(),
            stdin: Mutex::default(),
            log: log.map(Arc::new),
            active: Mutex::default(),
            guest: Mutex::default(),
        }
    }

    /// A copy of the record.
    pub(crate) fn record(&self) -> Record {
        self.record.locked().clone()
    }

    /// Looks at the record without copying it.
    pub(crate) fn with_record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.locked())
    }

    /// Changes the record in memory and sends it to the database in the same order. Whoever acknowledges the
    /// change awaits the commit first.
    pub(crate) fn update(&self, state: &State, change: impl FnOnce(&mut Record)) -> Result<Commit> {
        let mut record = self.record.locked();
        // A record that is written after its deletion would come back with the next service.
        if self.forgotten.load(Ordering::Acquire) {
            return Err(EngineError::NoSuchContainer(self.id.clone()));
        }
        change(&mut record);
        state.put(&*record)
    }

    /// As [`Container::update`], for a change that nobody waits for. Of a container that goes away with its
    /// run it need not reach the disk at all.
    pub(crate) fn update_unasked(&self, state: &State, change: impl FnOnce(&mut Record)) {
        let mut record = self.record.locked();
        change(&mut record);
        if self.forgotten.load(Ordering::Acquire) {
            return;
        }
        let sent = if record.auto_remove() {
            state.put_lazily(&*record)
        } else {
            state.put_soon(&*record)
        };
        if let Err(error) = sent {
            tracing::error!(%error, container = self.id, "a change was not recorded");
        }
    }

    /// Refuses to write the record from here on: it is about to be deleted.
    fn mark_forgotten(&self) {
        let _record = self.record.locked();
        self.forgotten.store(true, Ordering::Release);
    }

    /// Opens its log for a run.
    fn begin_log(&self, record: &Record) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        let options = record.host_config.log_config.as_ref();
        let subject = Subject {
            id: &record.id,
            name: &record.name,
            image_id: &record.image_id,
            image_name: record.image_name(),
            labels: record.config.labels.as_ref(),
            env: record.config.env.as_deref().unwrap_or_default(),
        };
        log.begin(options.and_then(|log| log.config.as_ref()), &subject)
    }

    /// Ends its log with its run.
    fn finish_log(&self) {
        if let Some(log) = &self.log {
            log.finish();
        }
    }

    /// The pipe that this run, or the next, reads its stdin from.
    pub(crate) fn stdin(&self) -> Arc<StdinPipe> {
        self.stdin.locked().clone()
    }

    /// A new pipe for the next run.
    fn renew_stdin(&self) {
        *self.stdin.locked() = Arc::default();
    }

    /// The guest that the container runs in, if it runs.
    pub(crate) fn guest(&self) -> Option<Lease> {
        self.guest.locked().clone()
    }

    fn set_guest(&self, guest: Option<Lease>) {
        *self.guest.locked() = guest;
    }

    /// What it has on a network, if it runs there.
    pub(crate) fn active_on(&self, network: &str) -> Option<Active> {
        self.active.locked().get(network).cloned()
    }

    /// Notes what it has on a network from now on. Returns what it had before.
    pub(crate) fn set_active(&self, network: &str, active: Option<Active>) -> Option<Active> {
        let mut all = self.active.locked();
        match active {
            Some(active) => all.insert(network.to_owned(), active),
            None => all.remove(network),
        }
    }

    /// Its addresses on all networks.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let all = self.active.locked();
        all.values()
            .flat_map(|active| [active.v4, active.v6])
            .flatten()
            .collect()
    }

    /// Its interfaces in the guest, each with its name in the container.
    pub(crate) fn interfaces(&self) -> HashMap<String, String> {
        let all = self.active.locked();
        all.values()
            .map(|active| (active.host_interface.clone(), active.interface.clone()))
            .collect()
    }

    /// Takes everything that it has on networks.
    pub(crate) fn take_active(&self) -> BTreeMap<String, Active> {
        std::mem::take(&mut *self.active.locked())
    }

    /// The first name of an interface that it does not have yet.
    pub(crate) fn free_interface(&self) -> String {
        let all = self.active.locked();
        let mut names = (0..=all.len()).map(|number| format!("eth{number}"));
        let free = names.find(|name| !all.values().any(|active| active.interface == *name));
        free.unwrap_or_else(|| "eth0".to_owned())
    }

    /// Notes the names that it has on a network, for those who inspect it.
    pub(crate) fn name_endpoint(&self, network: &str, names: Vec<String>) {
        let mut record = self.record.locked();
        if let Some(endpoint) = record
            .networks
            .values_mut()
            .find(|endpoint| endpoint.network == network)
        {
            endpoint.names = names;
        }
    }

    /// What events tell of it: labels, image and name.
    pub(crate) fn event_attributes(&self) -> HashMap<String, String> {
        let record = self.record.locked();
        let mut attributes = record.config.labels.clone().unwrap_or_default();
        attributes.insert("image".to_owned(), record.image_name().to_owned());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes
    }
}

/// The log that its driver keeps in the container's folder.
fn log_of(record: &Record, folder: &Path) -> Option<LogFile> {
    let config = record.host_config.log_config.clone().unwrap_or_default();
    let settings = LogSettings::parse(&config).unwrap_or_else(|error| {
        tracing::warn!(%error, container = record.id, "the log driver's options cannot be read");
        LogSettings::parse(&HostConfigLogConfig::default()).ok().flatten()
    });
    Some(LogFile::new(folder, &record.id, settings?))
}
