//! Signals that come for the client and are meant for its container, and changes of the window's size.

use std::process;

use tokio::sync::watch;

use super::Raw;
use crate::client::{Client, Target};
use crate::failure::Result;
use crate::sys::{self, Resizes, Signals};

/// So many times Ctrl-C or a request to end, and the client gives up on the container.
const PATIENCE: u32 = 3;

/// What signals and sizes are passed on to.
#[derive(Clone, Debug)]
pub(crate) enum Process {
    Container(String),
    Exec(String),
}

/// Passes signals on from its making until it is dropped. Signals that come before the container runs are kept
/// until [`Proxy::started`].
#[derive(Debug)]
pub(crate) struct Proxy {
    running: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn signals(client: Client, container: String) -> Result<Self> {
        let mut signals = Signals::all()?;
        let (running, mut is_running) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut asked = 0u32;
            let mut kept = Vec::new();
            loop {
                let signal = tokio::select! {
                    signal = signals.next() => Some(signal),
                    changed = is_running.wait_for(|running| *running), if !kept.is_empty() => {
                        if changed.is_err() {
                            return;
                        }
                        None
                    }
                };
                if let Some(signal @ ("INT" | "TERM")) = signal {
                    asked = asked.saturating_add(1);
                    if asked >= PATIENCE {
                        Raw::leave();
                        crate::output::tell(&format!("\ngot {PATIENCE} SIGTERM/SIGINTs, forcefully exiting"));
                        process::exit(1);
                    }
                    kept.push(signal);
                } else {
                    kept.extend(signal);
                }
                if *is_running.borrow() {
                    for signal in kept.drain(..) {
                        let target = Target::new(&["containers", &container, "kill"]).with("signal", signal);
                        // A container that is gone needs no signal; its exit is on its way.
                        let _ = client.post(&target).await;
                    }
                }
            }
        });
        Ok(Self { running, task })
    }

    /// The container runs: it gets what came so far and what comes.
    pub(crate) fn started(&self) {
        self.running.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells a process the window's size, now and whenever it changes, until dropped.
#[derive(Debug)]
pub(crate) struct Sizes(tokio::task::JoinHandle<()>);

impl Sizes {
    pub(crate) fn follow(client: Client, process: Process) -> Result<Self> {
        let mut resizes = Resizes::new()?;
        Ok(Self(tokio::spawn(async move {
            loop {
                if let Some((rows, columns)) = sys::window_size() {
                    let target = match &process {
                        Process::Container(id) => Target::new(&["containers", id, "resize"]),
                        Process::Exec(id) => Target::new(&["exec", id, "resize"]),
                    };
                    // A process that has ended needs no size.
                    let _ = client.post(&target.with("h", rows).with("w", columns)).await;
                }
                resizes.next().await;
            }
        })))
    }
}

impl Drop for Sizes {
    fn drop(&mut self) {
        self.0.abort();
    }
}
