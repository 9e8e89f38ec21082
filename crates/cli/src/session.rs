//! A person's or a script's side of a container's streams: stdin on to the container, its output to stdout and
//! stderr, a terminal in raw mode while it lasts.

mod input;
mod output;
mod proxy;
mod terminal;

use std::io::IsTerminal;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

pub(crate) use input::send as send_input;
pub(crate) use output::receive_body;
pub(crate) use proxy::{Process, Proxy};
pub(crate) use terminal::{Raw, restore_on_panic};

use proxy::Sizes;

use crate::client::Client;
use crate::failure::Result;

/// What of a container's streams a session carries.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) detach_keys: Vec<u8>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The container closed its output.
    Output,
    /// The person typed the detach keys.
    Detached,
}

/// Whether stdin and stdout are terminals.
pub(crate) fn on_terminal() -> (bool, bool) {
    (std::io::stdin().is_terminal(), std::io::stdout().is_terminal())
}

/// Carries the streams of `process` until the output ends or the person leaves, and on to its terminal the size of
/// the person's window.
pub(crate) async fn carry(
    client: &Client,
    process: Process,
    connection: TokioIo<Upgraded>,
    streams: &Streams,
) -> Result<End> {
    let _sizes = if streams.tty && on_terminal().1 {
        Some(Sizes::follow(client.clone(), process)?)
    } else {
        None
    };
    let (reader, writer) = tokio::io::split(connection);
    // Raw mode only where both the container has a terminal and stdin is one.
    let _raw = if streams.stdin && streams.tty && std::io::stdin().is_terminal() {
        Some(Raw::enter()?)
    } else {
        None
    };
    let writing = async {
        if !streams.stdin {
            // Nothing is ever sent, and the connection must stay open all the same.
            let _writer = writer;
            return std::future::pending().await;
        }
        let keys = streams.tty.then(|| streams.detach_keys.clone());
        input::send(writer, keys).await
    };
    tokio::select! {
        biased;
        received = output::receive(reader, streams) => received.map(|()| End::Output),
        () = writing => Ok(End::Detached),
    }
}
