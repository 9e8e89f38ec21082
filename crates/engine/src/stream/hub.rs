//! Fan-out of a process's output to attached clients.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::{Channel, Chunk, QUEUE_LENGTH};
use crate::lock::LockExt;

/// Names one attached client of a [`Hub`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SinkId(u64);

#[derive(Debug)]
struct Sink {
    id: SinkId,
    stdout: bool,
    stderr: bool,
    sender: mpsc::Sender<Chunk>,
}

/// The clients that are attached to a process now.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    sinks: Mutex<Vec<Sink>>,
    last_id: AtomicU64,
}

impl Hub {
    /// Adds a client that gets everything published from here on.
    pub(crate) fn attach(&self, stdout: bool, stderr: bool) -> (SinkId, mpsc::Receiver<Chunk>) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let id = SinkId(self.last_id.fetch_add(1, Ordering::Relaxed));
        self.sinks.locked().push(Sink {
            id,
            stdout,
            stderr,
            sender,
        });
        (id, receiver)
    }

    /// Ends one client's output.
    pub(crate) fn detach(&self, id: SinkId) {
        self.sinks.locked().retain(|sink| sink.id != id);
    }

    /// Ends every client's output, after what was published.
    pub(crate) fn close(&self) {
        self.sinks.locked().clear();
    }

    /// Hands a chunk to every client that wants its channel, waiting for those that are slow.
    pub(crate) async fn publish(&self, chunk: Chunk) {
        let wanted: Vec<(SinkId, mpsc::Sender<Chunk>)> = self
            .sinks
            .locked()
            .iter()
            .filter(|sink| match chunk.channel {
                Channel::Stdout => sink.stdout,
                Channel::Stderr => sink.stderr,
            })
            .map(|sink| (sink.id, sink.sender.clone()))
            .collect();
        for (id, sender) in wanted {
            if sender.send(chunk.clone()).await.is_err() {
                self.detach(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunk(channel: Channel, bytes: &'static [u8]) -> Chunk {
        Chunk {
            channel,
            bytes: Bytes::from_static(bytes),
        }
    }

    #[tokio::test]
    async fn a_client_gets_only_the_channels_it_asked_for() {
        let hub = Hub::default();
        let (_, mut receiver) = hub.attach(false, true);
        hub.publish(chunk(Channel::Stdout, b"out")).await;
        hub.publish(chunk(Channel::Stderr, b"err")).await;
        hub.close();
        assert_eq!(receiver.recv().await.unwrap().bytes, "err");
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn a_client_that_hung_up_is_dropped_and_stops_nobody() {
        let hub = Hub::default();
        let (_, gone) = hub.attach(true, true);
        let (_, mut stays) = hub.attach(true, true);
        drop(gone);
        for _ in 0..QUEUE_LENGTH {
            hub.publish(chunk(Channel::Stdout, b"x")).await;
        }
        hub.close();
        let mut count = 0;
        while stays.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, QUEUE_LENGTH);
    }

    #[tokio::test]
    async fn a_slow_client_holds_the_process_back_and_loses_nothing() {
        let hub = std::sync::Arc::new(Hub::default());
        let (_, mut receiver) = hub.attach(true, false);
        let publisher = tokio::spawn({
            let hub = hub.clone();
            async move {
                for _ in 0..QUEUE_LENGTH * 3 {
                    hub.publish(chunk(Channel::Stdout, b"x")).await;
                }
                hub.close();
            }
        });
        tokio::task::yield_now().await;
        assert!(!publisher.is_finished());
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, QUEUE_LENGTH * 3);
    }
}
