//! The database of records (redb): container ID, volume name or network ID to JSON.
//!
//! One thread writes. It commits everything that waits in one transaction, so that operations in parallel
//! share a disk flush. A change is one of three:
//!
//! - *promised*: acknowledged only once it is on disk;
//! - *soon*: nobody waits for it, and it is flushed all the same (an exit);
//! - *lazy*: it reaches the disk with the next of the others, because [`crate::Engine::open`] comes to the
//!   same state without it (everything about a container that goes away with its run).
//!
//! Where the disk is full, a promise fails, and the others wait for the next commit that succeeds.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use tokio::sync::oneshot;

use crate::error::{EngineError, Result};
use crate::network::NetworkRecord;
use crate::record::{Record, VolumeRecord};

/// Where a kind of record lies, by its key.
pub(crate) type Table = TableDefinition<'static, &'static str, &'static [u8]>;

/// What the database keeps.
pub(crate) trait Stored: serde::Serialize + serde::de::DeserializeOwned {
    const TABLE: Table;
    /// What one of them is called in messages.
    const WHAT: &'static str;

    fn key(&self) -> &str;
}

const SETTINGS: TableDefinition<&str, &str> = TableDefinition::new("settings");
/// The key of the engine's own ID, which `docker info` shows.
const ENGINE_ID: &str = "engine-id";

/// Jobs that are committed together at most.
const BATCH: usize = 256;

#[derive(Debug)]
enum Change {
    Put(String, Vec<u8>),
    Delete(String),
}

impl Change {
    fn key(&self) -> &str {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

struct Job {
    table: Table,
    change: Change,
    /// Whether the disk is flushed for it.
    flush: bool,
    /// Told once the change is on disk.
    done: Option<oneshot::Sender<Result<(), Refused>>>,
}

/// Why a transaction came to nothing.
#[derive(Clone, Debug)]
enum Refused {
    /// The disk that holds this file has no room.
    Full(PathBuf),
    Other(String),
}

impl From<Refused> for EngineError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full(path) => store::StoreError::DiskFull(path).into(),
            Refused::Other(message) => Self::Database(message),
        }
    }
}

/// The open database. Dropping it writes everything out.
pub(crate) struct State {
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

/// What the database held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) engine_id: String,
    pub(crate) records: Vec<Record>,
    pub(crate) volumes: Vec<VolumeRecord>,
    pub(crate) networks: Vec<NetworkRecord>,
    pub(crate) unreadable: Unreadable,
}

/// Records that could not be understood; they are left alone.
#[derive(Debug, Default)]
pub(crate) struct Unreadable {
    /// The IDs of containers.
    pub(crate) containers: Vec<String>,
    /// How many volumes there are.
    pub(crate) volumes: usize,
    /// How many networks there are.
    pub(crate) networks: usize,
}

fn failed(error: impl Into<redb::Error>) -> EngineError {
    EngineError::Database(error.into().to_string())
}

/// A change on its way to the disk. Dropping it does not undo the change.
#[derive(Debug)]
#[must_use = "a change is acknowledged only once it is on disk"]
pub(crate) struct Commit(oneshot::Receiver<Result<(), Refused>>);

impl Commit {
    /// Waits until the change is on disk.
    pub(crate) async fn on_disk(self) -> Result<()> {
        match self.0.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(refused.into()),
            Err(_) => Err(EngineError::Database("the writer stopped".to_owned())),
        }
    }
}

impl State {
    /// Opens or makes the database, and reads it. Blocks on the disk.
    pub(crate) fn open(path: &Path, new_id: &str) -> Result<(Self, Contents)> {
        let database = redb::Database::create(path).map_err(|error| {
            EngineError::Database(format!("{} cannot be opened: {error}", path.display()))
        })?;
        let contents = read(&database, new_id)?;
        let (jobs, queue) = mpsc::channel();
        let writer_path = path.to_owned();
        let writer = std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || Writer::new(database, writer_path).run(&queue))
            .map_err(EngineError::io("the state thread cannot be started"))?;
        Ok((
            Self {
                jobs: Some(jobs),
                writer: Some(writer),
            },
            contents,
        ))
    }

    /// Sends a record to be written. The order of calls is the order on disk; await the commit before
    /// acknowledging.
    pub(crate) fn put<T: Stored>(&self, record: &T) -> Result<Commit> {
        self.durable(T::TABLE, put(record)?)
    }

    /// Sends a record to be written and flushed without anybody waiting for it.
    pub(crate) fn put_soon<T: Stored>(&self, record: &T) -> Result<()> {
        self.send(Job {
            table: T::TABLE,
            change: put(record)?,
            flush: true,
            done: None,
        })
    }

    /// Writes a record some time.
    pub(crate) fn put_lazily<T: Stored>(&self, record: &T) -> Result<()> {
        self.send(Job {
            table: T::TABLE,
            change: put(record)?,
            flush: false,
            done: None,
        })
    }

    /// Sends a record to be deleted; await the commit before acknowledging.
    pub(crate) fn delete<T: Stored>(&self, key: &str) -> Result<Commit> {
        self.durable(T::TABLE, Change::Delete(key.to_owned()))
    }

    /// Deletes a record some time.
    pub(crate) fn delete_lazily<T: Stored>(&self, key: &str) -> Result<()> {
        self.send(Job {
            table: T::TABLE,
            change: Change::Delete(key.to_owned()),
            flush: false,
            done: None,
        })
    }

    fn durable(&self, table: Table, change: Change) -> Result<Commit> {
        let (done, wait) = oneshot::channel();
        self.send(Job {
            table,
            change,
            flush: true,
            done: Some(done),
        })?;
        Ok(Commit(wait))
    }

    fn send(&self, job: Job) -> Result<()> {
        self.jobs
            .as_ref()
            .and_then(|jobs| jobs.send(job).ok())
            .ok_or_else(|| EngineError::Database("the writer stopped".to_owned()))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn put<T: Stored>(record: &T) -> Result<Change> {
    let bytes = serde_json::to_vec(record)
        .map_err(|error| EngineError::Internal(format!("a record cannot be written: {error}")))?;
    Ok(Change::Put(record.key().to_owned(), bytes))
}

fn read(database: &redb::Database, new_id: &str) -> Result<Contents> {
    let transaction = database.begin_write().map_err(failed)?;
    let engine_id = {
        for table in [Record::TABLE, VolumeRecord::TABLE, NetworkRecord::TABLE] {
            transaction.open_table(table).map_err(failed)?;
        }
        let mut settings = transaction.open_table(SETTINGS).map_err(failed)?;
        let known = settings
            .get(ENGINE_ID)
            .map_err(failed)?
            .map(|id| id.value().to_owned());
        match known {
            Some(id) => id,
            None => {
                settings.insert(ENGINE_ID, new_id).map_err(failed)?;
                new_id.to_owned()
            }
        }
    };
    transaction.commit().map_err(failed)?;
    let transaction = database.begin_read().map_err(failed)?;
    let (records, unreadable_containers) = read_table(&transaction)?;
    let (volumes, unreadable_volumes) = read_table(&transaction)?;
    let (networks, unreadable_networks) = read_table(&transaction)?;
    Ok(Contents {
        engine_id,
        records,
        volumes,
        networks,
        unreadable: Unreadable {
            containers: unreadable_containers,
            volumes: unreadable_volumes.len(),
            networks: unreadable_networks.len(),
        },
    })
}

/// The records of a table, and the keys of those that are not understood.
fn read_table<T: Stored>(transaction: &redb::ReadTransaction) -> Result<(Vec<T>, Vec<String>)> {
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    let table = transaction.open_table(T::TABLE).map_err(failed)?;
    for row in table.iter().map_err(failed)? {
        let (key, bytes) = row.map_err(failed)?;
        match serde_json::from_slice(bytes.value()) {
            Ok(record) => records.push(record),
            Err(error) => {
                let what = T::WHAT;
                tracing::error!(id = key.value(), %error, "the record of a {what} cannot be understood");
                unreadable.push(key.value().to_owned());
            }
        }
    }
    Ok((records, unreadable))
}

/// The writing thread's own.
struct Writer {
    /// `None` after an error of the disk, which redb takes for the end of the database, until it is opened again.
    database: Option<redb::Database>,
    path: PathBuf,
    /// Changes that nobody waits for, in order: lazy ones until the next flush, and any after a commit that failed.
    waiting: Vec<Job>,
}

impl Writer {
    fn new(database: redb::Database, path: PathBuf) -> Self {
        Self {
            database: Some(database),
            path,
            waiting: Vec::new(),
        }
    }

    /// Ends when every sender is gone, after one last flush.
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let before = self.waiting.len();
            self.waiting.push(first);
            self.waiting.extend(queue.try_iter().take(BATCH));
            let new = self.waiting.get(before..).unwrap_or_default();
            // A long queue of lazy changes is flushed for its own sake.
            if new.iter().any(|job| job.flush) || self.waiting.len() >= BATCH {
                self.flush();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let result = self.commit();
        match &result {
            Ok(()) => {}
            Err(Refused::Full(path)) => {
                tracing::error!(path = %path.display(), "records were not written: the disk is full");
            }
            Err(Refused::Other(error)) => tracing::error!(error, "records were not written"),
        }
        let (promised, others): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|job| job.done.is_some());
        if result.is_err() {
            self.waiting = last_of_each(others);
        }
        for done in promised.into_iter().filter_map(|job| job.done) {
            let _ = done.send(result.clone());
        }
    }

    fn commit(&mut self) -> Result<(), Refused> {
        let database = match self.database.take() {
            Some(database) => database,
            None => redb::Database::create(&self.path).map_err(|error| self.refused(error.into()))?,
        };
        match commit(&database, &self.waiting) {
            Ok(()) => {
                self.database = Some(database);
                Ok(())
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    fn refused(&self, error: redb::Error) -> Refused {
        match error {
            redb::Error::Io(error) if store::is_disk_full(&error) => Refused::Full(self.path.clone()),
            error => Refused::Other(error.to_string()),
        }
    }
}

/// The last change of each key, in order: what bounds the changes that wait by the number of records.
fn last_of_each(jobs: Vec<Job>) -> Vec<Job> {
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Job> = jobs
        .into_iter()
        .rev()
        .filter(|job| seen.insert((job.table.name().to_owned(), job.change.key().to_owned())))
        .collect();
    kept.reverse();
    kept
}

fn commit(database: &redb::Database, jobs: &[Job]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for job in jobs {
        // Opening a table again is a look into a map.
        let mut table = transaction.open_table(job.table)?;
        match &job.change {
            Change::Put(key, bytes) => drop(table.insert(key.as_str(), bytes.as_slice())?),
            Change::Delete(key) => drop(table.remove(key.as_str())?),
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_the_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let (state, contents) = State::open(&path, "first").unwrap();
        assert_eq!(
            (contents.engine_id.as_str(), contents.records.len()),
            ("first", 0)
        );
        state.put(&record("a")).unwrap().on_disk().await.unwrap();
        state.put(&record("b")).unwrap().on_disk().await.unwrap();
        state.delete::<Record>("a").unwrap().on_disk().await.unwrap();
        // The copy is what a killed process leaves on disk.
        let copy = folder.path().join("copy.redb");
        std::fs::copy(&path, &copy).unwrap();
        let (_state, contents) = State::open(&copy, "second").unwrap();
        assert_eq!(contents.engine_id, "first");
        assert_eq!(
            contents
                .records
                .iter()
                .map(|record| record.id.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
    }

    #[tokio::test]
    async fn a_lazy_change_reaches_the_disk_with_the_next_durable_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let (state, _) = State::open(&path, "id").unwrap();
        state.put_lazily(&record("lazy")).unwrap();
        state.put(&record("durable")).unwrap().on_disk().await.unwrap();
        let copy = folder.path().join("copy.redb");
        std::fs::copy(&path, &copy).unwrap();
        assert_eq!(State::open(&copy, "id").unwrap().1.records.len(), 2);
    }

    #[tokio::test]
    async fn lazy_changes_wait_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let (state, _) = State::open(&path, "id").unwrap();
        state.put_lazily(&record("a")).unwrap();
        state.delete_lazily::<Record>("a").unwrap();
        state.put_lazily(&record("b")).unwrap();
        drop(state);
        let contents = State::open(&path, "id").unwrap().1;
        assert_eq!(
            contents
                .records
                .iter()
                .map(|record| record.id.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
    }

    #[test]
    fn closing_writes_lazy_changes_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let (state, _) = State::open(&path, "id").unwrap();
        state.put_lazily(&record("lazy")).unwrap();
        drop(state);
        assert_eq!(State::open(&path, "id").unwrap().1.records.len(), 1);
    }

    /// A writer whose commits fail for as long as its database is a folder, which cannot be opened.
    fn broken(path: &Path) -> Writer {
        std::fs::create_dir(path).unwrap();
        Writer {
            database: None,
            path: path.to_owned(),
            waiting: Vec::new(),
        }
    }

    fn job(change: Change, done: Option<oneshot::Sender<Result<(), Refused>>>) -> Job {
        Job {
            table: Record::TABLE,
            change,
            flush: true,
            done,
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_outlasts_a_disk_that_fails_and_a_promise_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.redb");
        let mut writer = broken(&path);
        let (done, promise) = oneshot::channel();
        writer.waiting = vec![
            job(put(&record("exit")).unwrap(), None),
            job(put(&record("promised")).unwrap(), Some(done)),
            job(put(&record("exit")).unwrap(), None),
        ];
        writer.flush();
        assert!(promise.await.unwrap().is_err());
        assert_eq!(writer.waiting.len(), 1);
        std::fs::remove_dir(&path).unwrap();
        writer.waiting.push(job(put(&record("later")).unwrap(), None));
        writer.flush();
        drop(writer);
        let contents = State::open(&path, "id").unwrap().1;
        let ids: Vec<_> = contents.records.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["exit", "later"]);
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let writer = Writer {
            database: None,
            path: PathBuf::from("/home/engine.redb"),
            waiting: Vec::new(),
        };
        let full = redb::Error::Io(std::io::ErrorKind::StorageFull.into());
        let text = EngineError::from(writer.refused(full)).to_string();
        assert_eq!(
            text,
            "no space left on the disk that holds /home/engine.redb: free some space or remove images, then try again"
        );
    }
}
