//! The resolver of one container: a socket at 127.0.0.11 in its network namespace, and answers from the tables of its
//! networks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname, recvfrom, sendto,
    socket_with,
};

use super::dns::{self, Code, Question, Wanted};
use super::{names, redirect};
use crate::failure::{Context, Outcome};

/// The longest query that is read.
const LONGEST: usize = 1500;
/// Queries that are answered before others have their turn.
const TURN: usize = 64;

/// It answers whenever its socket is readable.
#[derive(Debug)]
pub(crate) struct Resolver {
    socket: OwnedFd,
    port: u16,
    /// The tables in which names are looked up, in order.
    tables: Vec<String>,
}

impl Resolver {
    /// Opens the socket in the network namespace that this process is in.
    pub(super) fn open() -> Outcome<Self> {
        let what = || "the resolver's socket".to_owned();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).context(what)?;
        let address = SocketAddrV4::new(Ipv4Addr::from(redirect::ADDRESS), 0);
        bind(&socket, &address).context(what)?;
        let bound = getsockname(&socket)
            .and_then(SocketAddr::try_from)
            .context(what)?;
        Ok(Self {
            socket,
            port: bound.port(),
            tables: Vec::new(),
        })
    }

    /// Leads what asks at port 53 in a cgroup to the resolver at another.
    pub(crate) fn redirect(cgroup: BorrowedFd<'_>, port: u16) -> Outcome<()> {
        redirect::attach(cgroup, port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Says in which tables names are looked up.
    pub(crate) fn look_in(&mut self, tables: Vec<String>) {
        self.tables = tables;
    }

    /// Answers what is there, up to a turn's number of queries.
    pub(crate) fn answer(&self) {
        let mut query = [0; LONGEST];
        for _ in 0..TURN {
            let (length, from) = match recvfrom(&self.socket, query.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _, Some(from))) => (length, from),
                Err(Errno::INTR) => continue,
                Ok(_) | Err(_) => return,
            };
            if let Some(question) = dns::question(query.get(..length).unwrap_or_default()) {
                // Who does not take its answer asks again.
                let _ = sendto(
                    &self.socket,
                    &self.answer_to(&question),
                    SendFlags::empty(),
                    &from,
                );
            }
        }
    }

    fn answer_to(&self, question: &Question<'_>) -> Vec<u8> {
        let tables = || self.tables.iter().map(String::as_str);
        match &question.wanted {
            Wanted::Addresses { name, v6 } => match names::addresses(tables(), name) {
                Some(mut addresses) => {
                    addresses.retain(|address| address.is_ipv6() == *v6);
                    shuffle(&mut addresses);
                    question.addresses(&addresses)
                }
                // There is nobody else to ask.
                None => question.plain(Code::ServerFailure),
            },
            Wanted::Name(address) => match names::name_of(tables(), *address) {
                Some(name) => question.name(&name),
                None => question.plain(Code::ServerFailure),
            },
            Wanted::Other(name) if names::addresses(tables(), name).is_some() => question.plain(Code::Done),
            Wanted::Other(_) => question.plain(Code::ServerFailure),
        }
    }
}

/// So that containers that share a name share the work.
fn shuffle(addresses: &mut [IpAddr]) {
    let mut bytes = [0; 8];
    for last in (1..addresses.len()).rev() {
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        let count = u64::try_from(last.saturating_add(1)).unwrap_or(1);
        let chosen = usize::try_from(u64::from_ne_bytes(bytes) % count).unwrap_or(0);
        addresses.swap(last, chosen);
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
