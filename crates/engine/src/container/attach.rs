//! Attaching to a container's streams, and reading its log.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Container;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::log::{self, LogFile, Position};
use crate::record::{Phase, Record};
use crate::stream::{Attached, Attachment, Chunk, DetachKeys, Input, QUEUE_LENGTH};
use crate::types::{AttachOptions, Logs, LogsOptions};

impl Engine {
    /// Attaches to a container that runs, or is about to: a client that attaches before the start misses
    /// nothing. With `logs` it first gets what was logged before.
    pub async fn attach_container(&self, id: &str, options: AttachOptions) -> Result<Attached> {
        let container = self.inner.registry.find(id)?;
        let keys = DetachKeys::parse(options.detach_keys.as_deref())?;
        let (phase, tty) = container.with_record(|record| (record.state.phase, record.tty()));
        if phase == Phase::Paused {
            return Err(EngineError::Conflict(format!(
                "container {} is paused, unpause the container before attach",
                container.id
            )));
        }
        if options.logs && container.log.is_none() {
            return Err(EngineError::LogNotReadable);
        }
        let attached = container.attach(&options, keys, tty);
        self.inner.container_event(&container, "attach", []);
        Ok(attached)
    }

    /// Reads a container's log, and follows it until the end of its run where asked.
    pub async fn container_logs(&self, id: &str, options: LogsOptions) -> Result<Logs> {
        if !options.stdout && !options.stderr {
            return Err(EngineError::BadRequest(
                "Bad parameters: you must choose at least one stream".to_owned(),
            ));
        }
        let container = self.inner.registry.find(id)?;
        let log = container.log.clone().ok_or(EngineError::LogNotReadable)?;
        let tty = container.with_record(Record::tty);
        Ok(Logs {
            tty,
            output: log::read(log, options),
        })
    }
}

/// A log, and how far it was written when the client came.
type Logged = (Arc<LogFile>, Position);

impl Container {
    fn attach(self: &Arc<Self>, options: &AttachOptions, keys: DetachKeys, tty: bool) -> Attached {
        let logged = self
            .log
            .as_ref()
            .filter(|_| options.logs)
            .map(|log| (log.clone(), log.position()));
        if !options.stream {
            let (sender, output) = mpsc::channel(QUEUE_LENGTH);
            if let Some(logged) = logged {
                tokio::spawn(self.clone().replay(options.clone(), logged, sender));
            }
            return Attached {
                tty,
                output,
                input: None,
            };
        }
        let (sink, live) = self.hub.attach(options.stdout, options.stderr);
        let output = if let Some(logged) = logged {
            let (sender, output) = mpsc::channel(QUEUE_LENGTH);
            tokio::spawn(
                self.clone()
                    .replay_then_follow(options.clone(), logged, live, sender),
            );
            output
        } else {
            live
        };
        let (open, once) = self.with_record(|record| {
            (
                record.config.open_stdin.unwrap_or(false),
                record.config.stdin_once.unwrap_or(false),
            )
        });
        let input = (options.stdin && open).then(|| {
            let attachment = tty.then(|| Attachment {
                hub: self.hub.clone(),
                sink,
                keys,
            });
            // The end of a terminal's input is a key, not a closed connection.
            Input::new(self.stdin(), once && !tty, attachment)
        });
        Attached { tty, output, input }
    }

    async fn replay(self: Arc<Self>, options: AttachOptions, logged: Logged, sender: mpsc::Sender<Chunk>) {
        let wanted = LogsOptions {
            stdout: options.stdout,
            stderr: options.stderr,
            ..LogsOptions::default()
        };
        if let Err(error) = log::replay(&logged.0, &wanted, logged.1, &sender).await {
            tracing::warn!(%error, container = self.id, "the log could not be replayed");
        }
    }

    async fn replay_then_follow(
        self: Arc<Self>,
        options: AttachOptions,
        logged: Logged,
        mut live: mpsc::Receiver<Chunk>,
        sender: mpsc::Sender<Chunk>,
    ) {
        self.replay(options, logged, sender.clone()).await;
        while let Some(chunk) = live.recv().await {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    }
}
