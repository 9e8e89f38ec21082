//! The container's output on its way to stdout and stderr.
//!
//! A thread writes, so that a reader that is slow does not keep signals from being passed on; a bounded queue
//! before it slows the container down instead.

use std::io::{self, Write};

use api::frame::{Decoder, Stream};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, oneshot};

use super::Streams;
use crate::client::Body;
use crate::failure::{Failure, Result};

/// Bytes of one read.
const READ: usize = 64 << 10;
/// Pieces that wait for the writer.
const QUEUE: usize = 16;

type Piece = (Stream, Bytes);

/// The thread that writes.
#[derive(Debug)]
struct Writer {
    pieces: mpsc::Sender<Piece>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    fn start() -> Self {
        let (pieces, mut receiver) = mpsc::channel::<Piece>(QUEUE);
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let mut write = || -> io::Result<()> {
                let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
                while let Some((stream, bytes)) = receiver.blocking_recv() {
                    match stream {
                        Stream::Stdin | Stream::Stdout => {
                            stdout.write_all(&bytes)?;
                            stdout.flush()?;
                        }
                        Stream::Stderr | Stream::SystemError => stderr.write_all(&bytes)?,
                    }
                }
                Ok(())
            };
            let _ = end.send(write());
        });
        Self { pieces, ended }
    }

    /// Hands a piece on. An error means that the thread has ended, and [`Self::finish`] says why.
    async fn write(&self, piece: Piece) -> Result<(), ()> {
        self.pieces.send(piece).await.map_err(drop)
    }

    /// Waits until everything is written.
    async fn finish(self) -> Result<()> {
        drop(self.pieces);
        match self.ended.await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Failure::new("the output's writer ended early")),
        }
    }
}

/// What comes out of the bytes of a connection.
#[derive(Debug)]
enum Unframe {
    Raw,
    Frames(Decoder),
}

impl Unframe {
    fn new(tty: bool) -> Self {
        if tty {
            Self::Raw
        } else {
            Self::Frames(Decoder::default())
        }
    }

    /// Hands the pieces in `bytes` on that are wanted.
    async fn pass(&mut self, bytes: Bytes, wanted: (bool, bool), writer: &Writer) -> Result<bool> {
        let decoder = match self {
            Self::Raw => return Ok(writer.write((Stream::Stdout, bytes)).await.is_ok()),
            Self::Frames(decoder) => decoder,
        };
        decoder.feed(&bytes);
        while let Some((stream, piece)) = decoder
            .next_piece()
            .map_err(|error| Failure::new(error.to_string()))?
        {
            if stream == Stream::SystemError {
                let text = String::from_utf8_lossy(&piece);
                return Err(Failure::new(format!("error from daemon in stream: {text}")));
            }
            let is_wanted = if stream == Stream::Stderr {
                wanted.1
            } else {
                wanted.0
            };
            if is_wanted && writer.write((stream, piece)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Writes the output of a connection until its end.
pub(crate) async fn receive(mut reader: impl AsyncRead + Unpin, streams: &Streams) -> Result<()> {
    let writer = Writer::start();
    let mut unframe = Unframe::new(streams.tty);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        // The engine resets a connection when it goes away; what was received is written either way.
        if reader.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            break;
        }
        if !unframe
            .pass(buffer.split().freeze(), (streams.stdout, streams.stderr), &writer)
            .await?
        {
            break;
        }
    }
    writer.finish().await
}

/// Writes the output of an answer's body, as logs are sent, until its end.
pub(crate) async fn receive_body(mut body: Body, tty: bool) -> Result<()> {
    let writer = Writer::start();
    let mut unframe = Unframe::new(tty);
    while let Some(bytes) = body.chunk().await? {
        if !unframe.pass(bytes, (true, true), &writer).await? {
            break;
        }
    }
    writer.finish().await
}
