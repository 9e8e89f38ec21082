//! The standard streams of a process: which pipes, terminals and vsock connections a [`Stdio`] asks for.

use std::os::fd::{AsFd, OwnedFd};

use protocol::{Stdio, Token};
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};

use super::link::{Direction, Link};
use crate::container::spawn::ChildStreams;
use crate::container::terminal::Terminals;
use crate::failure::{Context, Outcome};

/// Opens the streams of a process: the child's ends, and the links that carry them.
pub(super) fn open_streams(stdio: &Stdio, terminals: &Terminals) -> Outcome<(ChildStreams, Vec<Link>)> {
    match stdio {
        Stdio::Terminal { stream, size } => {
            let terminal = terminals.open(*size)?;
            let link = dial(Direction::Both, stream, terminal.master)?;
            Ok((ChildStreams::Terminal(terminal.slave), vec![link]))
        }
        Stdio::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            let mut links = Vec::with_capacity(3);
            let mut end = |direction, token: &Option<Token>| match token {
                None => null(),
                Some(token) => {
                    let (child, local) = pipe(direction)?;
                    links.push(dial(direction, token, local)?);
                    Ok(child)
                }
            };
            let ends = [
                end(Direction::In, stdin)?,
                end(Direction::Out, stdout)?,
                end(Direction::Out, stderr)?,
            ];
            Ok((ChildStreams::Pipes(ends), links))
        }
    }
}

fn dial(direction: Direction, token: &Token, local: OwnedFd) -> Outcome<Link> {
    Link::dial(direction, token, local).context(|| "a stream to the host could not be opened".to_owned())
}

fn null() -> Outcome<OwnedFd> {
    open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context(|| "/dev/null".to_owned())
}

/// A pipe as the child's end and ours. Only ours is non-blocking: programs expect a pipe that waits.
fn pipe(direction: Direction) -> Outcome<(OwnedFd, OwnedFd)> {
    let made = || {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let (child, local) = if direction == Direction::In {
            (reader, writer)
        } else {
            (writer, reader)
        };
        rustix::io::ioctl_fionbio(local.as_fd(), true)?;
        Ok::<_, rustix::io::Errno>((child, local))
    };
    made().context(|| "pipe".to_owned())
}
