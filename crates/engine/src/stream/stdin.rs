//! A process's standard input: what attached clients write, in one bounded pipe.
//!
//! The pipe exists before the process does, so that a client can attach and write first. With Docker's
//! `StdinOnce` the first client that ends its input, or hangs up, ends the process's.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{DetachKeys, Hub, SinkId};
use crate::lock::LockExt;

/// Writes that wait for the process.
const QUEUE_LENGTH: usize = 16;
/// A write is cut into pieces of at most this many bytes.
const PIECE: usize = 64 << 10;

/// The two ends of the pipe for one run of a process.
#[derive(Debug)]
pub(crate) struct StdinPipe {
    sender: Mutex<Option<mpsc::Sender<Bytes>>>,
    receiver: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

impl Default for StdinPipe {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        Self {
            sender: Mutex::new(Some(sender)),
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl StdinPipe {
    /// The process's end; only the first caller gets it.
    pub(crate) fn take(&self) -> Option<mpsc::Receiver<Bytes>> {
        self.receiver.locked().take()
    }

    /// Ends the process's input after what was written.
    pub(crate) fn close(&self) {
        self.sender.locked().take();
    }

    fn writer(&self) -> Option<mpsc::WeakSender<Bytes>> {
        self.sender.locked().as_ref().map(mpsc::Sender::downgrade)
    }
}

/// The process takes no more input: it ended, or a client ended its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process takes no more input")]
pub struct InputClosed;

/// The client's place in a hub, so that the detach keys can end its output.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) hub: Arc<Hub>,
    pub(crate) sink: SinkId,
    pub(crate) keys: DetachKeys,
}

/// A client's writing end. Dropping it is its half-close.
#[derive(Debug)]
pub struct Input {
    pipe: Arc<StdinPipe>,
    writer: Option<mpsc::WeakSender<Bytes>>,
    /// Whether this client's end is the process's end of input.
    closes: bool,
    attachment: Option<Attachment>,
}

impl Input {
    pub(crate) fn new(pipe: Arc<StdinPipe>, closes: bool, attachment: Option<Attachment>) -> Self {
        let writer = pipe.writer();
        Self {
            pipe,
            writer,
            closes,
            attachment,
        }
    }

    /// Hands bytes to the process, waiting while its pipe is full. Cancelling may lose the bytes of this
    /// call.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), InputClosed> {
        let mut bytes = bytes;
        let mut detach = false;
        if let Some(attachment) = &mut self.attachment {
            let (seen, complete) = attachment.keys.filter(&bytes);
            bytes = Bytes::from(seen);
            detach = complete;
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let writer = self
                .writer
                .as_ref()
                .and_then(mpsc::WeakSender::upgrade)
                .ok_or(InputClosed)?;
            writer.send(piece).await.map_err(|_| InputClosed)?;
        }
        if detach {
            self.closes = false;
            self.writer = None;
            if let Some(attachment) = self.attachment.take() {
                attachment.hub.detach(attachment.sink);
            }
            return Err(InputClosed);
        }
        Ok(())
    }

    /// The client writes no more: end of input for the process, where the process is to see it.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if self.closes {
            self.pipe.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_before_the_process_started_reaches_it_and_then_its_end() {
        let pipe = Arc::new(StdinPipe::default());
        let mut input = Input::new(pipe.clone(), true, None);
        input.write(Bytes::from_static(b"early")).await.unwrap();
        input.close();
        let mut process = pipe.take().unwrap();
        assert_eq!(process.recv().await.unwrap(), "early");
        assert_eq!(process.recv().await, None);
    }

    #[tokio::test]
    async fn without_stdin_once_a_client_that_leaves_does_not_end_the_input() {
        let pipe = Arc::new(StdinPipe::default());
        Input::new(pipe.clone(), false, None).close();
        let mut next = Input::new(pipe.clone(), false, None);
        next.write(Bytes::from_static(b"more")).await.unwrap();
        assert_eq!(pipe.take().unwrap().recv().await.unwrap(), "more");
    }

    #[tokio::test]
    async fn writing_after_the_end_is_an_error() {
        let pipe = Arc::new(StdinPipe::default());
        let mut late = Input::new(pipe.clone(), false, None);
        Input::new(pipe.clone(), true, None).close();
        assert_eq!(late.write(Bytes::from_static(b"x")).await, Err(InputClosed));
    }

    #[tokio::test]
    async fn the_detach_keys_end_the_output_and_leave_the_process_its_input() {
        let pipe = Arc::new(StdinPipe::default());
        let hub = Arc::new(Hub::default());
        let (sink, mut output) = hub.attach(true, true);
        let keys = DetachKeys::parse(None).unwrap();
        let attachment = Attachment {
            hub: hub.clone(),
            sink,
            keys,
        };
        let mut input = Input::new(pipe.clone(), true, Some(attachment));
        assert_eq!(
            input.write(Bytes::from_static(b"a\x10\x11")).await,
            Err(InputClosed)
        );
        drop(input);
        assert_eq!(output.recv().await, None);
        assert!(pipe.writer().is_some());
    }
}
