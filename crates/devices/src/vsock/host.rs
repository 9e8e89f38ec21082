//! The host's side of connections: Unix sockets in the machine's folder.
//!
//! A guest that connects to host port P reaches whoever listens on `<folder>/vsock_P`. A host program reaches guest
//! port P by connecting to `<folder>/vsock` and writing `CONNECT P\n`; it reads `OK <its port>\n` when the guest
//! agreed, and the end of the stream when not. Firecracker has the same convention.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// The name of the socket for connections to the guest.
const LISTENER: &str = "vsock";
/// `CONNECT 4294967295\n` and some spaces.
const MAX_LINE: usize = 32;

/// Where host programs listen.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Listens for host programs that want to reach the guest. A socket left behind by an earlier process goes.
    pub(crate) fn listen(&self) -> io::Result<Socket> {
        let path = self.0.join(LISTENER);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        socket.listen(128)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Connects to the program that listens for guest connections to `port`. Never blocks: a program whose queue of
    /// connections is full counts as one that is not there.
    pub(crate) fn connect(&self, port: u32) -> io::Result<Socket> {
        let address = SockAddr::unix(self.0.join(format!("{LISTENER}_{port}")))?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&address)?;
        Ok(socket)
    }
}

/// The line with which a host program names the guest's port.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    line: Vec<u8>,
}

/// How far the line has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeted {
    /// More is to come.
    Partly,
    /// The program wants this port. Nothing after the line was read.
    Port(u32),
    /// The program says something else, or nothing any more.
    Wrong,
}

impl Greeting {
    /// Reads what is there of the line, byte by byte as what follows it is the guest's.
    pub(crate) fn read(&mut self, mut socket: impl Read) -> Greeted {
        let mut byte = [0];
        while self.line.len() < MAX_LINE {
            match socket.read(&mut byte) {
                Ok(1) if byte == *b"\n" => {
                    return parse(&self.line).map_or(Greeted::Wrong, Greeted::Port);
                }
                Ok(1) => self.line.extend(byte),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Greeted::Partly,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return Greeted::Wrong,
            }
        }
        Greeted::Wrong
    }
}

fn parse(line: &[u8]) -> Option<u32> {
    str::from_utf8(line)
        .ok()?
        .strip_prefix("CONNECT ")?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_greeting_names_a_port_and_leaves_what_follows() {
        let mut bytes: &[u8] = b"CONNECT 1234\nhello";
        assert_eq!(Greeting::default().read(&mut bytes), Greeted::Port(1234));
        assert_eq!(bytes, b"hello");
    }

    #[test]
    fn other_words_other_numbers_and_endless_lines_are_wrong() {
        for line in [
            "connect 1\n",
            "CONNECT\n",
            "CONNECT x\n",
            "CONNECT 4294967296\n",
            "CONNECT 1",
            &"C".repeat(99),
        ] {
            assert_eq!(
                Greeting::default().read(line.as_bytes()),
                Greeted::Wrong,
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_within_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut rest = bytes.as_slice();
            Greeting::default().read(&mut rest);
            prop_assert!(bytes.len() - rest.len() <= MAX_LINE);
        }
    }
}
