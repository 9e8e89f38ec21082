//! The byte streams of one process: announced before it starts, carried until it ended.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Stdio, WindowSize};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::error::Result;
use crate::log::LogFile;
use crate::machine::{ExpectedStream, Guest};
use crate::names;
use crate::stream::{Channel, Hub, StdinPipe, pump_input, pump_output};

/// How long the guest may take to open a stream; it does so while it starts the process.
const CONNECT_PATIENCE: Duration = Duration::from_secs(130);
/// How long it may take once the process is known to have ended.
const CONNECT_PATIENCE_AFTER_EXIT: Duration = Duration::from_secs(10);

/// Which streams a process has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// A terminal of this size; it carries all three.
    pub(crate) terminal: Option<WindowSize>,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// The streams of a process, being carried by tasks that end with it. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Carried {
    outputs: JoinSet<()>,
    input: Option<AbortHandle>,
    exited: watch::Sender<bool>,
}

/// Where the streams of a process lead on the host.
pub(crate) struct Ends {
    pub(crate) hub: Arc<Hub>,
    pub(crate) stdin: Arc<StdinPipe>,
    pub(crate) log: Option<Arc<LogFile>>,
}

/// Announces the streams to the guest's side and carries each as soon as it is there.
pub(crate) fn carry(guest: &Guest, wanted: Wanted, ends: &Ends) -> Result<(Stdio, Carried)> {
    let (exited, _) = watch::channel(false);
    let mut carried = Carried {
        outputs: JoinSet::new(),
        input: None,
        exited,
    };
    let stdio = match wanted.terminal {
        Some(size) => {
            let token = names::new_token()?;
            carried.terminal(guest.expect_stream(token.clone()), ends);
            Stdio::Terminal { stream: token, size }
        }
        None => {
            let announce = |wanted: bool, begin: &mut dyn FnMut(ExpectedStream)| -> Result<_> {
                if !wanted {
                    return Ok(None);
                }
                let token = names::new_token()?;
                begin(guest.expect_stream(token.clone()));
                Ok(Some(token))
            };
            let stdin = announce(wanted.stdin, &mut |stream| carried.stdin(stream, ends))?;
            let stdout = announce(wanted.stdout, &mut |stream| {
                carried.output(Channel::Stdout, stream, ends)
            })?;
            let stderr = announce(wanted.stderr, &mut |stream| {
                carried.output(Channel::Stderr, stream, ends)
            })?;
            Stdio::Pipes {
                stdin,
                stdout,
                stderr,
            }
        }
    };
    Ok((stdio, carried))
}

impl Carried {
    /// Waits until every byte of a process that ended was logged and handed to every attached client.
    pub(crate) async fn drain(mut self) {
        self.exited.send_replace(true);
        if let Some(input) = self.input.take() {
            input.abort();
        }
        while self.outputs.join_next().await.is_some() {}
    }

    fn output(&mut self, channel: Channel, stream: ExpectedStream, ends: &Ends) {
        let (hub, log, exited) = (ends.hub.clone(), ends.log.clone(), self.exited.subscribe());
        self.outputs.spawn(async move {
            if let Some((reader, _writer)) = connected(stream, exited.clone()).await {
                pump_output(channel, reader, log, hub, exited).await;
            }
        });
    }

    fn stdin(&mut self, stream: ExpectedStream, ends: &Ends) {
        let (pipe, exited) = (ends.stdin.clone(), self.exited.subscribe());
        let task = tokio::spawn(async move {
            if let (Some(input), Some((_reader, writer))) = (pipe.take(), connected(stream, exited).await) {
                pump_input(input, writer).await;
            }
        });
        self.input = Some(task.abort_handle());
    }

    fn terminal(&mut self, stream: ExpectedStream, ends: &Ends) {
        let (hub, log, pipe, exited) = (
            ends.hub.clone(),
            ends.log.clone(),
            ends.stdin.clone(),
            self.exited.subscribe(),
        );
        self.outputs.spawn(async move {
            let Some((reader, writer)) = connected(stream, exited.clone()).await else {
                return;
            };
            let input = pipe.take().map(|input| tokio::spawn(pump_input(input, writer)));
            pump_output(Channel::Stdout, reader, log, hub, exited).await;
            if let Some(input) = input {
                input.abort();
            }
        });
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some(input) = &self.input {
            input.abort();
        }
    }
}

async fn connected(
    stream: ExpectedStream,
    mut exited: watch::Receiver<bool>,
) -> Option<(crate::sys::ReadHalf, crate::sys::WriteHalf)> {
    let late = async {
        let ended = exited.wait_for(|exited| *exited).await.is_ok();
        if ended {
            tokio::time::sleep(CONNECT_PATIENCE_AFTER_EXIT).await;
        }
    };
    tokio::select! {
        halves = stream.connected(CONNECT_PATIENCE) => halves,
        () = late => None,
    }
}
