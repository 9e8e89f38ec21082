//! Starting the service for a client that did not find it.
//!
//! The service is a process of its own, detached from the terminal. It tells on its stdout, a pipe, when clients
//! can connect (one line, [`READY`]) or why they never will; the client waits for that line and for nothing
//! else. A lock in the home folder lets the first of several clients start it while the others wait.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::client::{ClientError, Result};
use crate::{settings, sys};

/// What a service that can be connected to says.
pub(crate) const READY: &str = "ready";
const LOCK: &str = "start.lock";
/// The engine's own lock of the folder.
const SERVICE_LOCK: &str = "service.lock";
/// How long a service may take to end before another takes its place.
const PATIENCE: Duration = Duration::from_secs(30);
const LOG: &str = "service.log";
/// A log beyond this many bytes becomes the old one when the next service starts.
const LONGEST_LOG: u64 = 8 << 20;
/// The longest message of a service that did not start.
const LONGEST_MESSAGE: u64 = 64 << 10;

/// Connects to this user's own service at `path`, which nobody served a moment ago, starting it if need be.
pub(crate) async fn connect(path: &Path) -> Result<sys::Connection> {
    let home = settings::home().map_err(|failure| ClientError::Start(failure.message))?;
    let started = |error: io::Error| ClientError::Start(format!("{}: {error}", home.display()));
    create_private(&home).map_err(started)?;
    let lock = File::create(home.join(LOCK)).map_err(started)?;
    lock.lock().map_err(started)?;
    // Another client may have started it while this one waited for the lock.
    match sys::connect(path).await {
        Err(error) if sys::is_absent(&error) => {}
        other => {
            return other.map_err(|source| ClientError::Connect {
                address: sys::address(path),
                source,
            });
        }
    }
    wait_for_predecessor(&home);
    start(&home)?;
    sys::connect(path).await.map_err(|source| ClientError::Connect {
        address: sys::address(path),
        source,
    })
}

/// Waits while a service that no longer takes clients still ends its machines. It holds its lock to its very end.
/// One that does not end in time is told by the new service, which then cannot have the lock.
fn wait_for_predecessor(home: &Path) {
    let Ok(lock) = File::open(home.join(SERVICE_LOCK)) else {
        return;
    };
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        let waited = lock.lock_shared();
        // Given back before anybody goes on: the next service is to have it.
        drop(lock);
        let _ = ended.send(waited);
    });
    let _ = end.recv_timeout(PATIENCE);
}

/// Starts the service and waits until it is ready.
fn start(home: &Path) -> Result<()> {
    let failed = |error: io::Error| ClientError::Start(error.to_string());
    let log_path = home.join(LOG);
    if fs::metadata(&log_path).is_ok_and(|log| log.len() > LONGEST_LOG) {
        fs::rename(&log_path, home.join("service.log.1")).map_err(failed)?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command
        .args(["service", "--detached"])
        .env("SAMPAN_HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let mut child = sys::detached(&mut command).spawn().map_err(failed)?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(LONGEST_MESSAGE)
            .read_to_string(&mut said)
            .map_err(failed)?;
    }
    match said.trim() {
        READY => Ok(()),
        "" => {
            let ended = child.wait().map_err(failed)?;
            let log = log_path.display();
            Err(ClientError::Start(format!(
                "it ended ({ended}) without a word; its log is {log}"
            )))
        }
        message => Err(ClientError::Start(message.to_owned())),
    }
}

/// Makes the home folder, for its owner alone.
fn create_private(home: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    sys::private(&mut builder).create(home)
}
