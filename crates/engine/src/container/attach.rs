//! Attaching to a container's streams, and reading its log.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Container;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::log;
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
        let tty = container.with_record(Record::tty);
        Ok(Logs {
            tty,
            output: log::read(container.log.clone(), options),
        })
    }
}

impl Container {
    fn attach(self: &Arc<Self>, options: &AttachOptions, keys: DetachKeys, tty: bool) -> Attached {
        let logged = self.log.position().borrow().length;
        if !options.stream {
            let (sender, output) = mpsc::channel(QUEUE_LENGTH);
            if options.logs {
                tokio::spawn(self.clone().replay(options.clone(), logged, sender));
            }
            return Attached {
                tty,
                output,
                input: None,
            };
        }
        let (sink, live) = self.hub.attach(options.stdout, options.stderr);
        let output = if options.logs {
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

    async fn replay(self: Arc<Self>, options: AttachOptions, length: u64, sender: mpsc::Sender<Chunk>) {
        let wanted = LogsOptions {
            stdout: options.stdout,
            stderr: options.stderr,
            ..LogsOptions::default()
        };
        if let Err(error) = log::replay(&self.log, &wanted, length, &sender).await {
            tracing::warn!(%error, container = self.id, "the log could not be replayed");
        }
    }

    async fn replay_then_follow(
        self: Arc<Self>,
        options: AttachOptions,
        length: u64,
        mut live: mpsc::Receiver<Chunk>,
        sender: mpsc::Sender<Chunk>,
    ) {
        self.replay(options, length, sender.clone()).await;
        while let Some(chunk) = live.recv().await {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    }
}
