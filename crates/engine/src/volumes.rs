//! Volumes of the local driver (moby `volume/`): a record on the host, and a directory on a machine's data disk from
//! the first container on that mounts it.
//!
//! A volume lies in one machine, that of the first container: its files cannot be seen from the other one, and asking
//! for them there is an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use bollard_stubs::models::{
    EventMessageTypeEnum, Volume, VolumeCreateRequest, VolumeListResponse, VolumePruneResponse,
    VolumeScopeEnum,
};
use protocol::{Architecture, Mount, Request};

use crate::container::{LOCAL, Wanted};
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::filters::Filters;
use crate::lock::LockExt;
use crate::names;
use crate::record::{Record, VolumeMount, VolumeRecord};
use crate::state::State;
use crate::time;

/// Every volume, by name.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    table: Mutex<BTreeMap<String, VolumeRecord>>,
    /// Held from the look at who uses a volume to its removal, and from the look at a volume to the container that
    /// uses it.
    pub(crate) transition: tokio::sync::Mutex<()>,
}

impl Volumes {
    pub(crate) fn new(records: Vec<VolumeRecord>) -> Self {
        let table = records
            .into_iter()
            .map(|record| (record.name.clone(), record))
            .collect();
        Self {
            table: Mutex::new(table),
            ..Self::default()
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<VolumeRecord> {
        self.table.locked().get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<VolumeRecord> {
        self.table.locked().values().cloned().collect()
    }

    fn insert(&self, record: VolumeRecord) {
        self.table.locked().insert(record.name.clone(), record);
    }

    fn remove(&self, name: &str) -> Option<VolumeRecord> {
        self.table.locked().remove(name)
    }

    /// Takes the volumes out that nobody named. For the opening engine, whose machines throw the files out when they
    /// boot.
    pub(crate) fn drop_anonymous(&self, state: &State, volumes: &[VolumeMount]) -> Result<()> {
        for volume in volumes {
            if self.get(&volume.name).is_some_and(|record| record.anonymous) {
                state.delete_lazily::<VolumeRecord>(&volume.name)?;
                self.remove(&volume.name);
            }
        }
        Ok(())
    }

    /// Whether a directory on a data disk belongs to a volume.
    pub(crate) fn has_directory(&self, id: &str) -> bool {
        self.table.locked().values().any(|record| record.id == id)
    }

    /// How many volumes have their directory in a machine.
    pub(crate) fn lying_in(&self, architecture: Architecture) -> usize {
        let table = self.table.locked();
        let here = table
            .values()
            .filter(|record| record.architecture == Some(architecture));
        here.count()
    }

    /// Where a volume lies in its machine.
    pub(crate) fn place(&self, name: &str) -> String {
        self.get(name).map_or_else(String::new, |record| place(&record))
    }
}

fn place(record: &VolumeRecord) -> String {
    format!("/data/volumes/{}/_data", record.id)
}

/// Docker's rule for the names of local volumes.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let mut characters = name.chars();
    let good = name.len() <= 255
        && name.len() > 1
        && characters
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && characters.all(|later| later.is_ascii_alphanumeric() || matches!(later, '_' | '.' | '-'));
    if good {
        return Ok(());
    }
    if name.len() == 1 {
        return Err(EngineError::BadRequest(
            "volume name is too short, names should be at least two alphanumeric characters".to_owned(),
        ));
    }
    Err(EngineError::BadRequest(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// There is one driver, and it takes no options.
pub(crate) fn check_driver(name: Option<&str>, options: Option<&HashMap<String, String>>) -> Result<()> {
    if let Some(name) = name.filter(|name| !matches!(*name, "" | LOCAL | "default")) {
        return Err(EngineError::NotFound(format!(
            "error looking up volume plugin {name}: plugin \"{name}\" not found"
        )));
    }
    match options.and_then(|options| options.keys().next()) {
        Some(option) => Err(EngineError::Unsupported(format!(
            "options of the local volume driver (--opt {option}; `--tmpfs` mounts memory)"
        ))),
        None => Ok(()),
    }
}

fn missing(name: &str) -> EngineError {
    EngineError::NotFound(format!("get {name}: no such volume"))
}

pub(crate) fn view(record: &VolumeRecord) -> Volume {
    Volume {
        name: record.name.clone(),
        driver: LOCAL.to_owned(),
        mountpoint: place(record),
        created_at: Some(time::rfc3339(record.created)),
        labels: record.labels.clone(),
        scope: Some(VolumeScopeEnum::LOCAL),
        ..Volume::default()
    }
}

impl Engine {
    /// Makes a volume, or finds the one of this name. Returns once its record is on disk.
    pub async fn create_volume(&self, request: VolumeCreateRequest) -> Result<Volume> {
        check_driver(request.driver.as_deref(), request.driver_opts.as_ref())?;
        let name = request.name.filter(|name| !name.is_empty());
        if let Some(name) = &name {
            check_name(name)?;
        }
        let inner = self.inner.clone();
        self.complete(async move {
            let _transition = inner.volumes.transition.lock().await;
            let labels = request.labels.unwrap_or_default();
            let record = inner.ensure_volume(name.as_deref(), labels, true).await?;
            Ok(view(&record))
        })
        .await
    }

    /// The volumes that match the filters, by name.
    pub async fn list_volumes(&self, filters: &Filters) -> Result<VolumeListResponse> {
        filters.only(&["dangling", "driver", "label", "name"])?;
        let dangling = filters.truth("dangling")?;
        let volumes = self.inner.volumes.all();
        let volumes = volumes.iter().filter(|record| {
            dangling.is_none_or(|dangling| self.inner.users_of(&record.name).is_empty() == dangling)
                && filters.any("driver", |driver| driver == LOCAL)
                && filters.any("name", |name| record.name.contains(name))
                && filters.labels_match("label", |key| record.labels.get(key).map(String::as_str))
        });
        Ok(VolumeListResponse {
            volumes: Some(volumes.map(view).collect()),
            warnings: None,
        })
    }

    /// What a volume is.
    pub async fn inspect_volume(&self, name: &str) -> Result<Volume> {
        self.inner
            .volumes
            .get(name)
            .map(|record| view(&record))
            .ok_or_else(|| missing(name))
    }

    /// Removes a volume that no container uses. With `force` one that does not exist is no error.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        self.complete(async move {
            let _transition = inner.volumes.transition.lock().await;
            if inner.volumes.get(&name).is_none() {
                return if force { Ok(()) } else { Err(missing(&name)) };
            }
            let users = inner.users_of(&name);
            if !users.is_empty() {
                return Err(EngineError::Conflict(format!(
                    "remove {name}: volume is in use - [{}]",
                    users.join(", ")
                )));
            }
            inner.forget_volume(&name).await
        })
        .await
    }

    /// Removes the anonymous volumes that no container uses; with the filter `all` the named ones too.
    pub async fn prune_volumes(&self, filters: &Filters) -> Result<VolumePruneResponse> {
        filters.only(&["all", "label", "label!"])?;
        let all = filters.truth("all")?.unwrap_or(false);
        let (inner, filters) = (self.inner.clone(), filters.clone());
        self.complete(async move {
            let mut chosen = inner.volumes.all();
            chosen.retain(|record| {
                let label = |key: &str| record.labels.get(key).map(String::as_str);
                (all || record.anonymous)
                    && filters.labels_match("label", label)
                    && (!filters.has("label!") || !filters.labels_match("label!", label))
                    && inner.users_of(&record.name).is_empty()
            });
            let sizes = inner.sizes(&[], &chosen).await;
            let (mut deleted, mut reclaimed) = (Vec::new(), 0i64);
            let _transition = inner.volumes.transition.lock().await;
            for record in chosen {
                // Counting took its time.
                let same = inner
                    .volumes
                    .get(&record.name)
                    .is_some_and(|now| now.id == record.id);
                if !same || !inner.users_of(&record.name).is_empty() {
                    continue;
                }
                inner.forget_volume(&record.name).await?;
                reclaimed = reclaimed.saturating_add(sizes.volume(&record.name).max(0));
                deleted.push(record.name);
            }
            inner.events.publish(
                EventMessageTypeEnum::VOLUME,
                "prune",
                "",
                HashMap::from([("reclaimed".to_owned(), reclaimed.to_string())]),
            );
            Ok(VolumePruneResponse {
                volumes_deleted: Some(deleted),
                space_reclaimed: Some(reclaimed),
            })
        })
        .await
    }
}

impl Inner {
    /// IDs of the containers that mount a volume, whether they run or not.
    pub(crate) fn users_of(&self, name: &str) -> Vec<String> {
        let uses = |record: &Record| record.volumes.iter().any(|volume| volume.name == name);
        let containers = self.registry.all();
        let users = containers.iter().filter(|container| container.with_record(uses));
        users.map(|container| container.id.clone()).collect()
    }

    /// The volume of this name, or a new one. The caller holds the volumes' transition lock.
    async fn ensure_volume(
        &self,
        name: Option<&str>,
        labels: HashMap<String, String>,
        promised: bool,
    ) -> Result<VolumeRecord> {
        if let Some(known) = name.and_then(|name| self.volumes.get(name)) {
            return Ok(known);
        }
        let id = names::new_id()?;
        let mut labels = labels;
        if name.is_none() {
            labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
        }
        let record = VolumeRecord {
            name: name.map_or_else(|| id.clone(), str::to_owned),
            id,
            created: time::now(),
            labels,
            anonymous: name.is_none(),
            architecture: None,
        };
        self.write_volume(&record, promised).await?;
        self.volume_event(&record.name, "create", []);
        Ok(record)
    }

    async fn write_volume(&self, record: &VolumeRecord, promised: bool) -> Result<()> {
        if promised {
            self.state.put(record)?.on_disk().await?;
        } else {
            self.state.put_lazily(record)?;
        }
        self.volumes.insert(record.clone());
        Ok(())
    }

    /// Makes what a container wants to mount. The caller holds the volumes' transition lock until the container's
    /// record is there.
    pub(crate) async fn take_volumes(
        &self,
        wanted: Vec<Wanted>,
        architecture: Architecture,
        promised: bool,
    ) -> Result<Vec<VolumeMount>> {
        let mut taken = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            match self.take_volume(wanted, architecture, promised).await {
                Ok(volume) => taken.push(volume),
                Err(error) => {
                    self.drop_unused(&taken).await;
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    async fn take_volume(
        &self,
        wanted: Wanted,
        architecture: Architecture,
        promised: bool,
    ) -> Result<VolumeMount> {
        // A volume with a name outlives the container, whatever becomes of that.
        let promised = promised || wanted.name.is_some();
        let mut record = self
            .ensure_volume(wanted.name.as_deref(), wanted.labels, promised)
            .await?;
        match record.architecture {
            None => {
                record.architecture = Some(architecture);
                self.write_volume(&record, promised).await?;
            }
            Some(other) if other != architecture => {
                return Err(EngineError::Conflict(format!(
                    "volume {} lies on the data disk of the linux/{other} machine, and containers of \
                     linux/{architecture} cannot mount it: use another volume for them",
                    record.name
                )));
            }
            Some(_) => {}
        }
        Ok(VolumeMount {
            name: record.name,
            target: wanted.target,
            read_only: wanted.read_only,
            copy_up: wanted.copy_up,
            subpath: wanted.subpath,
            mode: wanted.mode,
        })
    }

    /// A container's volumes as its guest mounts them.
    pub(crate) fn volume_mounts(&self, record: &Record) -> Result<Vec<Mount>> {
        let mount = |volume: &VolumeMount| {
            let known = self
                .volumes
                .get(&volume.name)
                .ok_or_else(|| missing(&volume.name))?;
            Ok(Mount::Volume {
                name: known.id,
                target: volume.target.clone(),
                read_only: volume.read_only,
                // What the container took out of it later stays out.
                copy_up: volume.copy_up && record.state.started.is_none(),
                subpath: volume.subpath.clone(),
            })
        };
        record.volumes.iter().map(mount).collect()
    }

    /// Removes the volumes that nobody named and no other container uses.
    pub(crate) async fn drop_anonymous_volumes(&self, volumes: &[VolumeMount]) {
        if volumes.is_empty() {
            return;
        }
        let _transition = self.volumes.transition.lock().await;
        self.drop_unused(volumes).await;
    }

    /// The same for who holds the volumes' transition lock.
    async fn drop_unused(&self, volumes: &[VolumeMount]) {
        for volume in volumes {
            let anonymous = self
                .volumes
                .get(&volume.name)
                .is_some_and(|record| record.anonymous);
            if anonymous
                && self.users_of(&volume.name).is_empty()
                && let Err(error) = self.forget_volume(&volume.name).await
            {
                tracing::warn!(%error, volume = volume.name, "an anonymous volume is left over");
            }
        }
    }

    /// Takes a volume out of the records and its machine. The caller holds the volumes' transition lock.
    async fn forget_volume(&self, name: &str) -> Result<()> {
        self.state.delete::<VolumeRecord>(name)?.on_disk().await?;
        let Some(record) = self.volumes.remove(name) else {
            return Ok(());
        };
        // A machine that does not run throws it out when it boots.
        if let Some(guest) = record
            .architecture
            .and_then(|architecture| self.machine(architecture).running())
        {
            guest.tell(Request::RemoveVolume { volume: record.id });
        }
        self.volume_event(name, "destroy", []);
        Ok(())
    }

    pub(crate) fn volume_event(
        &self,
        name: &str,
        action: &str,
        more: impl IntoIterator<Item = (String, String)>,
    ) {
        let mut attributes = HashMap::from([("driver".to_owned(), LOCAL.to_owned())]);
        attributes.extend(more);
        self.events
            .publish(EventMessageTypeEnum::VOLUME, action, name, attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_path_is_refused_with_what_to_do() {
        assert!(check_name("data").is_ok());
        for name in ["", "./data", "a/b", "-x"] {
            let text = check_name(name).unwrap_err().to_string();
            assert!(text.contains("use absolute path"), "{text}");
        }
        assert!(check_name("a").unwrap_err().to_string().contains("too short"));
    }

    #[test]
    fn another_driver_is_not_found() {
        let text = check_driver(Some("nfs"), None).unwrap_err().to_string();
        assert_eq!(
            text,
            "error looking up volume plugin nfs: plugin \"nfs\" not found"
        );
    }
}
