//! The control connection to the guest's PID 1: requests and replies by number, and events.
//!
//! Everything that arrives is the guest's word and bounded: frames by the protocol, the answers by what was
//! asked, events by who watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::frame::{self, Decoder};
use protocol::{
    Architecture, Event, ExitStatus, Failure, FromGuest, FromHost, Hello, Reply, Request, Welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::guest::ProcessKey;
use crate::lock::LockExt;
use crate::names;
use crate::sys::{ReadHalf, WriteHalf};

/// Frames that wait for the guest to take them.
const QUEUE_LENGTH: usize = 4096;
/// The longest guest text that goes into the host's log, in characters.
const LONGEST_TEXT: usize = 2048;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    /// The guest said no.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The guest is gone; why is [`super::Guest::end`].
    #[error("the machine stopped")]
    Gone,
    /// The guest did not answer in time. It is not trusted any more and is being killed.
    #[error("the machine did not answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// The request itself cannot be sent.
    #[error("{0}")]
    Unsendable(#[from] frame::FrameError),
}

/// What is told of a process in the guest.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The exit; an error means that the guest is gone.
    pub(crate) exit: oneshot::Receiver<ExitStatus>,
    /// Out-of-memory kills, at most a few of them.
    pub(crate) out_of_memory: mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Watcher {
    exit: oneshot::Sender<ExitStatus>,
    out_of_memory: mpsc::Sender<()>,
}

/// What the reading task and the callers share.
#[derive(Debug, Default)]
struct Tables {
    /// True once the connection is gone.
    closed: bool,
    pending: HashMap<u64, oneshot::Sender<Result<Reply, Failure>>>,
    watchers: HashMap<ProcessKey, Watcher>,
    panic: Option<String>,
}

/// An open control connection.
#[derive(Debug)]
pub(crate) struct Control {
    frames: mpsc::Sender<Vec<u8>>,
    tables: Arc<Mutex<Tables>>,
    next_id: AtomicU64,
}

impl Control {
    /// Takes the guest's [`Hello`], checks it and answers. Returns the connection and a receiver that
    /// resolves when the connection is gone.
    pub(crate) async fn accept(
        (mut reader, mut writer): (ReadHalf, WriteHalf),
        architecture: Architecture,
    ) -> Result<(Self, Hello, oneshot::Receiver<()>), String> {
        let mut decoder = Decoder::default();
        let hello = match next(&mut reader, &mut decoder).await {
            Some(FromGuest::Hello(hello)) => hello,
            Some(_) => return Err("spoke out of turn: its agent did not begin with Hello".to_owned()),
            None => return Err("hung up before its agent said Hello".to_owned()),
        };
        let version = hello.version.min(protocol::VERSION);
        if version < protocol::OLDEST_VERSION || version < hello.oldest_version {
            return Err(format!(
                "speaks protocol versions {} to {} and this sampan {} to {}: install kernel, initramfs and sampan of \
                 one release",
                hello.oldest_version,
                hello.version,
                protocol::OLDEST_VERSION,
                protocol::VERSION
            ));
        }
        if hello.architecture != architecture {
            return Err(format!("booted an initramfs for {}", hello.architecture));
        }
        if let Some(problem) = &hello.problem {
            return Err(format!("booted and could not set itself up: {}", cut(problem)));
        }
        let entropy = names::random::<32>().map_err(|error| error.to_string())?;
        let unix_time_ns = u64::try_from(crate::time::now()).unwrap_or_default();
        let welcome = FromHost::Welcome(Welcome {
            version,
            unix_time_ns,
            entropy: hex::encode(entropy),
        });
        let bytes = frame::encode(&welcome).map_err(|error| error.to_string())?;
        writer
            .write_all(&bytes)
            .await
            .map_err(|error| format!("hung up during the handshake: {error}"))?;

        let (frames, mut queue) = mpsc::channel::<Vec<u8>>(QUEUE_LENGTH);
        tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let tables = Arc::new(Mutex::new(Tables::default()));
        let (gone_sender, gone) = oneshot::channel();
        let receive = {
            let tables = tables.clone();
            async move {
                while let Some(message) = next(&mut reader, &mut decoder).await {
                    handle(&tables, message);
                }
                let mut tables = tables.locked();
                tables.closed = true;
                tables.pending.clear();
                tables.watchers.clear();
                drop(tables);
                let _ = gone_sender.send(());
            }
        };
        tokio::spawn(receive.in_current_span());
        Ok((
            Self {
                frames,
                tables,
                next_id: AtomicU64::new(1),
            },
            hello,
            gone,
        ))
    }

    /// Sends a request and waits for its answer for as long as `patience` says, and for as long again while the guest
    /// is `excused`. Cancelling leaves the request sent.
    pub(crate) async fn request(
        &self,
        request: Request,
        patience: Duration,
        excused: impl Fn() -> bool,
    ) -> Result<Reply, GuestError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let bytes = frame::encode(&FromHost::Request { id, request })?;
        let (sender, receiver) = oneshot::channel();
        {
            let mut tables = self.tables.locked();
            if tables.closed {
                return Err(GuestError::Gone);
            }
            tables.pending.insert(id, sender);
        }
        let _forget = Forget { control: self, id };
        let answer = async {
            self.frames.send(bytes).await.map_err(|_| GuestError::Gone)?;
            receiver
                .await
                .map_err(|_| GuestError::Gone)?
                .map_err(GuestError::Refused)
        };
        let mut answer = std::pin::pin!(answer);
        loop {
            match tokio::time::timeout(patience, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) if excused() => {}
                Err(_) => return Err(GuestError::Silent(patience)),
            }
        }
    }

    /// Sends a request whose answer nobody waits for. False when the guest takes nothing now.
    pub(crate) fn tell(&self, request: Request) -> bool {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        frame::encode(&FromHost::Request { id, request })
            .is_ok_and(|bytes| self.frames.try_send(bytes).is_ok())
    }

    /// Watches a process that is about to be started.
    pub(crate) fn watch(&self, key: ProcessKey) -> Result<Watched, GuestError> {
        let (exit_sender, exit) = oneshot::channel();
        let (oom_sender, out_of_memory) = mpsc::channel(4);
        let mut tables = self.tables.locked();
        if tables.closed {
            return Err(GuestError::Gone);
        }
        tables.watchers.insert(
            key,
            Watcher {
                exit: exit_sender,
                out_of_memory: oom_sender,
            },
        );
        Ok(Watched { exit, out_of_memory })
    }

    /// Stops watching a process that was not started.
    pub(crate) fn unwatch(&self, key: &ProcessKey) {
        self.tables.locked().watchers.remove(key);
    }

    /// Whether the connection is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.tables.locked().closed
    }

    /// Containers that are watched now.
    pub(crate) fn container_count(&self) -> u64 {
        self.tables
            .locked()
            .watchers
            .keys()
            .filter(|key| key.exec.is_none())
            .count() as u64
    }

    /// What PID 1 said when it panicked.
    pub(crate) fn panic(&self) -> Option<String> {
        self.tables.locked().panic.clone()
    }
}

/// Takes a request's entry away when its caller stops waiting.
struct Forget<'a> {
    control: &'a Control,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.control.tables.locked().pending.remove(&self.id);
    }
}

/// The next message; `None` at the end of the connection and for anything that is no message.
async fn next(reader: &mut ReadHalf, decoder: &mut Decoder) -> Option<FromGuest> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match decoder.next_message() {
            Ok(Some(message)) => return Some(message),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the guest's agent is not understood");
                return None;
            }
        }
        let count = reader.read(&mut buffer).await.ok()?;
        let bytes = buffer.get(..count).filter(|bytes| !bytes.is_empty())?;
        decoder.push(bytes);
    }
}

fn handle(tables: &Mutex<Tables>, message: FromGuest) {
    match message {
        FromGuest::Reply { id, result } => {
            let sender = tables.locked().pending.remove(&id);
            if let Some(sender) = sender {
                let _ = sender.send(result);
            }
        }
        FromGuest::Event(Event::Exited {
            container,
            exec,
            status,
        }) => {
            let mut tables = tables.locked();
            let whole = exec.is_none();
            let watcher = tables.watchers.remove(&ProcessKey {
                container: container.clone(),
                exec,
            });
            if let Some(watcher) = watcher {
                let _ = watcher.exit.send(status);
            }
            if whole {
                // Nothing of a container outlives it, whatever was told of its other processes.
                tables.watchers.retain(|key, _| key.container != container);
            }
        }
        FromGuest::Event(Event::OutOfMemory { container }) => {
            let tables = tables.locked();
            if let Some(watcher) = tables.watchers.get(&ProcessKey {
                container,
                exec: None,
            }) {
                let _ = watcher.out_of_memory.try_send(());
            }
        }
        FromGuest::Event(Event::Log { level, message }) => match level.as_str() {
            "error" => tracing::error!(target: "guest", "{}", cut(&message)),
            "warn" => tracing::warn!(target: "guest", "{}", cut(&message)),
            _ => tracing::info!(target: "guest", "{}", cut(&message)),
        },
        FromGuest::Event(Event::Panic { message }) => {
            tracing::error!(target: "guest", "PID 1 panicked: {}", cut(&message));
            tables.locked().panic = Some(cut(&message));
        }
        FromGuest::Hello(_) => tracing::warn!("the guest said Hello twice"),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}
