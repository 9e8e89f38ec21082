//! Byte streams between a container's process and its attached clients.
//!
//! The engine reads every output stream to its end, whether or not somebody is attached. A read goes to the
//! log first and then to each attached client over a bounded channel: a client that reads slowly slows the
//! process down (nothing is lost), a client that hangs up is dropped.

mod archive;
mod decompress;
mod detach;
mod hub;
mod pump;
mod rest;
mod stdin;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(crate) use archive::{Archive, ArchiveError};
pub(crate) use detach::DetachKeys;
pub(crate) use hub::{Hub, SinkId};
pub(crate) use pump::{pump_input, pump_output};
pub(crate) use rest::REST_PATIENCE;
pub use rest::drain;
pub(crate) use stdin::{Attachment, StdinPipe};
pub use stdin::{Input, InputClosed};

/// Which of a process's output streams bytes came from. A terminal has stdout only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Stdout,
    Stderr,
}

impl Channel {
    /// The name in log files and in Docker's API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A piece of output, at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub channel: Channel,
    pub bytes: Bytes,
}

/// A client's ends of a container's or exec's streams.
#[derive(Debug)]
pub struct Attached {
    /// Whether the process has a terminal: output is then raw and on stdout only.
    pub tty: bool,
    /// Closes after the last byte. Dropping it detaches.
    pub output: mpsc::Receiver<Chunk>,
    /// Present where stdin was asked for and the process has one.
    pub input: Option<Input>,
}

/// Chunks that wait for one attached client. With 64 KiB a chunk this bounds what a slow client holds.
pub(crate) const QUEUE_LENGTH: usize = 16;
