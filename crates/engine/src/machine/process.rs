//! The `sampan vmm` child of one guest: [`vmm::control`] over its stdin and stdout.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command as Program};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::Instrument;
use vmm::control::{Command, Event, Inspection, MachineConfig, StopReason};

use crate::lock::LockExt;
use crate::sys;

/// The longest line that is taken from the child, in bytes.
const LONGEST_LINE: usize = 4 << 20;
/// How long the child may take to exit once its stdout is closed.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

/// How a guest's process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What to say of the machine: `could not be run: …`, `powered itself off`.
    pub(crate) message: String,
}

/// Where a layer begins on the layer disk and how long it is, in bytes.
pub(crate) type Extent = (u64, u64);

#[derive(Debug, Default)]
struct Waiting {
    layers: HashMap<PathBuf, Vec<oneshot::Sender<Result<Extent, String>>>>,
    inspections: VecDeque<oneshot::Sender<Inspection>>,
}

/// A running child. Dropping it ends the child: its stdin closes.
#[derive(Debug)]
pub(crate) struct VmmProcess {
    pid: u32,
    commands: mpsc::Sender<Command>,
    waiting: Arc<Mutex<Waiting>>,
    ended: watch::Receiver<Option<Ended>>,
    entered: watch::Receiver<Option<u64>>,
    host_disk_full: watch::Receiver<bool>,
    kill: Arc<Notify>,
    stopping: Arc<AtomicBool>,
}

impl VmmProcess {
    /// Starts the child. Its stderr is `log`, whose lock it holds for as long as it lives.
    pub(crate) fn start(
        command: &[OsString],
        config: &MachineConfig,
        log: File,
        log_path: &Path,
    ) -> Result<Self, String> {
        let (program, arguments) = command
            .split_first()
            .ok_or("no command to run a machine was configured")?;
        let mut program_command = Program::new(program);
        program_command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .kill_on_drop(true);
        sys::prepare_child(&mut program_command);
        let mut child = program_command.spawn().map_err(|error| {
            format!(
                "could not be started: {} cannot be run: {error}",
                Path::new(program).display()
            )
        })?;
        let (Some(stdin), Some(stdout), Some(pid)) = (child.stdin.take(), child.stdout.take(), child.id())
        else {
            return Err("could not be started: its process ended at once".to_owned());
        };
        let first = serde_json::to_vec(config).map_err(|error| error.to_string())?;
        let (commands, queue) = mpsc::channel(64);
        tokio::spawn(send_commands(stdin, first, queue));
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (ended_sender, ended) = watch::channel(None);
        let (entered_sender, entered) = watch::channel(None);
        let (full_sender, host_disk_full) = watch::channel(false);
        let kill = Arc::new(Notify::new());
        let stopping = Arc::new(AtomicBool::new(false));
        let supervisor = Supervisor {
            child,
            waiting: waiting.clone(),
            ended: ended_sender,
            entered: entered_sender,
            host_disk_full: full_sender,
            kill: kill.clone(),
            stopping: stopping.clone(),
            log_path: log_path.to_owned(),
        };
        tokio::spawn(supervisor.run(BufReader::new(stdout)).in_current_span());
        Ok(Self {
            pid,
            commands,
            waiting,
            ended,
            entered,
            host_disk_full,
            kill,
            stopping,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Becomes `Some` once the child is gone.
    pub(crate) fn ended(&self) -> watch::Receiver<Option<Ended>> {
        self.ended.clone()
    }

    /// The host's clock when the kernel's first instruction was executed, in nanoseconds since the Unix
    /// epoch.
    pub(crate) fn entered(&self) -> Option<u64> {
        *self.entered.borrow()
    }

    /// Whether the guest waits for room on the disk of the host.
    pub(crate) fn waits_for_room(&self) -> bool {
        *self.host_disk_full.borrow()
    }

    /// The guest is asked to end: that it does is no crash, though x86_64 can only end by a reset.
    pub(crate) fn expect_end(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether [`VmmProcess::expect_end`] was called.
    pub(crate) fn expects_end(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends the child without asking it.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Asks the child to stop its guest; not answered here.
    pub(crate) async fn stop(&self) {
        let _ = self.commands.send(Command::Stop).await;
    }

    /// Puts a layer's file on the layer disk.
    pub(crate) async fn map_layer(&self, path: PathBuf) -> Result<Extent, String> {
        let (sender, receiver) = oneshot::channel();
        self.waiting
            .locked()
            .layers
            .entry(path.clone())
            .or_default()
            .push(sender);
        let gone = || {
            format!(
                "the machine stopped while layer {} was put on its disk",
                path.display()
            )
        };
        self.commands
            .send(Command::MapLayer { path: path.clone() })
            .await
            .map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Takes a layer's file away from the layer disk.
    pub(crate) async fn unmap_layer(&self, path: PathBuf) {
        let _ = self.commands.send(Command::UnmapLayer { path }).await;
    }

    /// What the child knows of itself.
    pub(crate) async fn inspect(&self) -> Option<Inspection> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.locked().inspections.push_back(sender);
        self.commands.send(Command::Inspect).await.ok()?;
        receiver.await.ok()
    }
}

async fn send_commands(mut stdin: ChildStdin, first: Vec<u8>, mut queue: mpsc::Receiver<Command>) {
    let mut line = first;
    loop {
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() {
            return;
        }
        let Some(command) = queue.recv().await else { return };
        let Ok(next) = serde_json::to_vec(&command) else {
            return;
        };
        line = next;
    }
}

struct Supervisor {
    child: Child,
    waiting: Arc<Mutex<Waiting>>,
    ended: watch::Sender<Option<Ended>>,
    entered: watch::Sender<Option<u64>>,
    host_disk_full: watch::Sender<bool>,
    kill: Arc<Notify>,
    stopping: Arc<AtomicBool>,
    log_path: PathBuf,
}

impl Supervisor {
    async fn run(mut self, mut stdout: impl AsyncBufRead + Unpin) {
        let mut reason = None;
        loop {
            let line = tokio::select! {
                line = read_line(&mut stdout) => line,
                () = self.kill.notified() => {
                    let _ = self.child.start_kill();
                    continue;
                }
            };
            match line {
                Some(line) => match serde_json::from_slice(&line) {
                    Ok(Event::Stopped { reason: told }) => reason = Some(told),
                    Ok(event) => self.handle(event),
                    Err(error) => tracing::warn!(%error, "a line of the VMM was not understood"),
                },
                None => break,
            }
        }
        // End of its stdout: it is about to exit, or said something that ends our trust in it.
        let status = match tokio::time::timeout(EXIT_PATIENCE, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.start_kill();
                self.child.wait().await
            }
        };
        let message = match reason {
            Some(StopReason::Reset { .. }) if self.stopping.load(Ordering::Acquire) => {
                describe(&StopReason::Asked)
            }
            Some(reason) => describe(&reason),
            None => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                format!(
                    "ended unexpectedly: its process is gone ({status}); {} may tell why",
                    self.log_path.display()
                )
            }
        };
        tracing::info!(message, "the machine ended");
        self.ended.send_replace(Some(Ended { message }));
        let mut waiting = self.waiting.locked();
        waiting.layers.clear();
        waiting.inspections.clear();
    }

    fn handle(&self, event: Event) {
        match event {
            Event::Entered { unix_time_ns } => {
                self.entered.send_replace(Some(unix_time_ns));
            }
            Event::LayerMapped { path, offset, length } => self.answer_layer(&path, &Ok((offset, length))),
            Event::LayerRefused { path, message } => self.answer_layer(&path, &Err(message)),
            Event::Inspected { inspection } => {
                if let Some(sender) = self.waiting.locked().inspections.pop_front() {
                    let _ = sender.send(inspection);
                }
            }
            Event::HostDisk { full } => {
                if full {
                    tracing::warn!("the host's disk is full: the machine waits until there is room");
                } else {
                    tracing::info!("the host's disk has room again: the machine goes on");
                }
                self.host_disk_full.send_replace(full);
            }
            Event::Stopped { .. } => {}
        }
    }

    fn answer_layer(&self, path: &Path, answer: &Result<Extent, String>) {
        for sender in self.waiting.locked().layers.remove(path).unwrap_or_default() {
            let _ = sender.send(answer.clone());
        }
    }
}

/// A line without its newline; `None` at the end, on an error, and for a line over the limit. Cancel-safe
/// only in that a cancelled call loses the part of a line that had arrived; callers cancel it only to kill
/// the child.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let buffer = reader.fill_buf().await.ok()?;
        if buffer.is_empty() {
            return None;
        }
        let (piece, complete) = match buffer.split(|&byte| byte == b'\n').next() {
            Some(piece) if piece.len() < buffer.len() => (piece, true),
            _ => (buffer, false),
        };
        if line.len().saturating_add(piece.len()) > LONGEST_LINE {
            return None;
        }
        line.extend_from_slice(piece);
        let used = piece.len().saturating_add(usize::from(complete));
        reader.consume(used);
        if complete {
            return Some(line);
        }
    }
}

/// The end of a guest in words that follow "the linux/arm64 machine".
fn describe(reason: &StopReason) -> String {
    let with_tail = |text: String, tail: &[String]| {
        if tail.is_empty() {
            text
        } else {
            format!("{text}\nIts last console lines:\n  {}", tail.join("\n  "))
        }
    };
    match reason {
        StopReason::PoweredOff => "powered itself off".to_owned(),
        StopReason::Asked => "was stopped".to_owned(),
        StopReason::Reset { console_tail } => {
            with_tail("crashed: its kernel gave up and reset".to_owned(), console_tail)
        }
        StopReason::Failed {
            message,
            console_tail,
        } => with_tail(format!("cannot run: {message}"), console_tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_out_whole_and_an_endless_one_ends_the_reading() {
        let endless = "x".repeat(LONGEST_LINE + 1);
        let text = format!("one\n\ntwo\n{endless}\n");
        let mut reader = BufReader::with_capacity(2, text.as_bytes());
        assert_eq!(read_line(&mut reader).await.unwrap(), b"one");
        assert_eq!(read_line(&mut reader).await.unwrap(), b"");
        assert_eq!(read_line(&mut reader).await.unwrap(), b"two");
        assert_eq!(read_line(&mut reader).await, None);
    }

    #[test]
    fn a_crash_is_told_with_the_last_console_lines() {
        let reason = StopReason::Reset {
            console_tail: vec!["Kernel panic".to_owned()],
        };
        assert_eq!(
            describe(&reason),
            "crashed: its kernel gave up and reset\nIts last console lines:\n  Kernel panic"
        );
    }
}
