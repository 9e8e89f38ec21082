//! The resolver of one container: sockets at 127.0.0.11 in its network namespace, for datagrams and for connections, and
//! answers from the tables of its networks.
//!
//! All of it is behind one epoll descriptor that the shim watches. Connections are bounded in number and in time
//! (RFC 7766, section 6.2.3); a timer is set only while there are any.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname, listen,
    recvfrom, sendto, socket_with,
};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime, timerfd_create,
    timerfd_settime,
};

use super::dns::{self, Code, LONGEST_DATAGRAM, LONGEST_MESSAGE, Question, Wanted};
use super::tcp::{Connection, LONGEST_QUERY, Next};
use super::{names, redirect};
use crate::failure::{Context, Outcome};

/// Queries that are answered, and connections that are taken, before others have their turn.
const TURN: usize = 64;
/// Clients that are connected at a time; one more ends the connection that has been idle for longest.
const MOST_CONNECTIONS: usize = 16;
/// Seconds without a whole query after which a connection ends.
const PATIENCE: i64 = 10;
/// Ports that are tried until one is free for both protocols.
const PORTS: usize = 16;

/// Keys of what is watched; connections come after these.
const DATAGRAMS: u64 = 0;
const LISTENER: u64 = 1;
const TIMER: u64 = 2;
const FIRST_CONNECTION: u64 = 3;

/// A client, what it waits for, and when it has waited for too long: in seconds of CLOCK_MONOTONIC.
#[derive(Debug)]
struct Client {
    connection: Connection,
    next: Next,
    deadline: i64,
}

/// It answers whenever its descriptor is readable.
#[derive(Debug)]
pub(crate) struct Resolver {
    epoll: OwnedFd,
    datagrams: OwnedFd,
    listener: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to.
    alarm: Option<i64>,
    port: u16,
    /// The tables in which names are looked up, in order.
    tables: Vec<String>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
}

impl Resolver {
    /// Opens the sockets in the network namespace that this process is in.
    pub(super) fn open() -> Outcome<Self> {
        let what = || "the resolver's sockets".to_owned();
        let mut opened = open_sockets();
        // A container that has run for a while may use the port's number for connections itself.
        for _ in 1..PORTS {
            if !matches!(opened, Err(Errno::ADDRINUSE)) {
                break;
            }
            opened = open_sockets();
        }
        let (datagrams, listener, port) = opened.context(what)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context(what)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context(what)?;
        for (fd, key, flags) in [
            (&datagrams, DATAGRAMS, EventFlags::IN),
            // Where no connection can be taken for want of descriptors, only a new one is a reason to try again.
            (&listener, LISTENER, EventFlags::IN | EventFlags::ET),
            (&timer, TIMER, EventFlags::IN),
        ] {
            epoll::add(&epoll, fd, EventData::new_u64(key), flags).context(what)?;
        }
        Ok(Self {
            epoll,
            datagrams,
            listener,
            timer,
            alarm: None,
            port,
            tables: Vec::new(),
            clients: BTreeMap::new(),
            next_client: FIRST_CONNECTION,
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
    pub(crate) fn answer(&mut self) {
        let mut events = Vec::with_capacity(MOST_CONNECTIONS.saturating_add(4));
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic).tv_sec;
        for event in events {
            match event.data.u64() {
                DATAGRAMS => self.answer_datagrams(),
                LISTENER => self.accept(now),
                TIMER => self.end_idle(now),
                number => self.advance(number, now),
            }
        }
        self.set_alarm();
    }

    fn answer_datagrams(&self) {
        let mut query = [0; LONGEST_QUERY];
        for _ in 0..TURN {
            let (length, from) = match recvfrom(&self.datagrams, query.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _, Some(from))) => (length, from),
                Err(Errno::INTR) => continue,
                Ok(_) | Err(_) => return,
            };
            let query = query.get(..length).unwrap_or_default();
            if let Some(answer) = answer_to(&self.tables, query, LONGEST_DATAGRAM) {
                // Who does not take its answer asks again.
                let _ = sendto(&self.datagrams, &answer, SendFlags::empty(), &from);
            }
        }
    }

    fn accept(&mut self, now: i64) {
        for _ in 0..TURN {
            let socket = match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => socket,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(_) => return,
            };
            if self.clients.len() >= MOST_CONNECTIONS {
                let idle = self.clients.iter().min_by_key(|(_, client)| client.deadline);
                if let Some(number) = idle.map(|(number, _)| *number) {
                    self.clients.remove(&number);
                }
            }
            let number = self.next_client;
            if epoll::add(&self.epoll, &socket, EventData::new_u64(number), EventFlags::IN).is_err() {
                continue;
            }
            self.next_client = number.saturating_add(1);
            let client = Client {
                connection: Connection::new(socket),
                next: Next::Readable,
                deadline: now.saturating_add(PATIENCE),
            };
            self.clients.insert(number, client);
        }
    }

    /// Answers on one connection. Closing it takes it out of the epoll set.
    fn advance(&mut self, number: u64, now: i64) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let before = client.connection.queries();
        let tables = &self.tables;
        let next = client
            .connection
            .advance(|query| answer_to(tables, query, LONGEST_MESSAGE));
        if client.connection.queries() > before {
            client.deadline = now.saturating_add(PATIENCE);
        }
        let flags = match next {
            Next::Readable => EventFlags::IN,
            Next::Writable => EventFlags::OUT,
            Next::Nothing => {
                self.clients.remove(&number);
                return;
            }
        };
        if client.next != next {
            client.next = next;
            if epoll::modify(&self.epoll, &client.connection, EventData::new_u64(number), flags).is_err() {
                self.clients.remove(&number);
            }
        }
    }

    fn end_idle(&mut self, now: i64) {
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        self.alarm = None;
        self.clients.retain(|_, client| client.deadline > now);
    }

    /// Sets the timer to the first connection's deadline, and not at all where there is none.
    fn set_alarm(&mut self) {
        let first = self.clients.values().map(|client| client.deadline).min();
        // One that comes too early is set anew when it does.
        let early = self.alarm.zip(first).is_some_and(|(alarm, first)| alarm <= first);
        if early || self.alarm == first {
            return;
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let alarm = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: first.unwrap_or(0),
                tv_nsec: 0,
            },
        };
        if timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &alarm).is_ok() {
            self.alarm = first;
        }
    }
}

/// A socket for datagrams and one for connections, at the same port.
fn open_sockets() -> Result<(OwnedFd, OwnedFd, u16), Errno> {
    let open = |kind, port| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
        bind(
            &socket,
            &SocketAddrV4::new(Ipv4Addr::from(redirect::ADDRESS), port),
        )?;
        Ok(socket)
    };
    let datagrams = open(SocketType::DGRAM, 0)?;
    let port = SocketAddr::try_from(getsockname(&datagrams)?)?.port();
    let listener = open(SocketType::STREAM, port)?;
    listen(&listener, i32::try_from(MOST_CONNECTIONS).unwrap_or(1))?;
    Ok((datagrams, listener, port))
}

/// The answer to a query, of at most `longest` bytes. `None` is not worth one.
fn answer_to(tables: &[String], query: &[u8], longest: usize) -> Option<Vec<u8>> {
    let question = dns::question(query)?;
    Some(look_up(tables, &question, longest))
}

fn look_up(tables: &[String], question: &Question<'_>, longest: usize) -> Vec<u8> {
    let tables = || tables.iter().map(String::as_str);
    match &question.wanted {
        Wanted::Addresses { name, v6 } => match names::addresses(tables(), name) {
            Some(mut addresses) => {
                addresses.retain(|address| address.is_ipv6() == *v6);
                shuffle(&mut addresses);
                question.addresses(&addresses, longest)
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
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpStream, UdpSocket};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    /// For the address of `x`, with its length before it.
    const QUERY: &[u8] = b"\0\x13\xab\xcd\x01\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01";

    fn serve(resolver: &mut Resolver) {
        poll(&mut [PollFd::new(&*resolver, PollFlags::IN)], None).unwrap();
        resolver.answer();
    }

    fn connected(resolver: &mut Resolver) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::from(redirect::ADDRESS), resolver.port())).unwrap();
        serve(resolver);
        client
    }

    #[test]
    fn a_connection_is_answered_as_a_datagram_is() {
        let mut resolver = Resolver::open().unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = (Ipv4Addr::from(redirect::ADDRESS), resolver.port());
        datagrams.send_to(&QUERY[2..], to).unwrap();
        serve(&mut resolver);
        let mut expected = [0; 512];
        let length = datagrams.recv(&mut expected).unwrap();

        let mut client = connected(&mut resolver);
        for _ in 0..2 {
            client.write_all(QUERY).unwrap();
            serve(&mut resolver);
            let mut answer = vec![0; length + 2];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer[2..], expected[..length]);
        }
        drop(client);
        serve(&mut resolver);
        assert!(resolver.clients.is_empty() && resolver.alarm.is_none());
    }

    #[test]
    fn one_client_too_many_ends_the_one_that_is_idle_for_longest() {
        let mut resolver = Resolver::open().unwrap();
        let mut clients: Vec<TcpStream> = (0..MOST_CONNECTIONS).map(|_| connected(&mut resolver)).collect();
        resolver
            .clients
            .get_mut(&(FIRST_CONNECTION + 1))
            .unwrap()
            .deadline -= 1;
        clients.push(connected(&mut resolver));
        assert_eq!(resolver.clients.len(), MOST_CONNECTIONS);
        assert_eq!(clients[1].read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_client_that_asks_nothing_for_too_long_is_let_go() {
        let mut resolver = Resolver::open().unwrap();
        let mut client = connected(&mut resolver);
        let now = clock_gettime(ClockId::Monotonic).tv_sec;
        assert!(resolver.alarm.is_some_and(|alarm| alarm >= now));
        resolver.end_idle(now + PATIENCE + 1);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
}
