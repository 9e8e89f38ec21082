//! epoll(7), edge-triggered: every ring of an eventfd is reported by itself, so none has to be read, and a socket's
//! interest changes only when it did not take all of a write.
//!
//! The `polling` crate, which serves the other systems, makes five system calls of every wait; a byte that goes to
//! the host and back costs two waits.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use socket2::Socket;

use super::event::Signal;
use crate::sys::{Interest, Ready};

const MAX_EVENTS: usize = 64;

pub(crate) struct Poller(OwnedFd);

/// Room for reports, kept between waits.
pub(crate) struct Reports(Vec<epoll::Event>);

impl Default for Reports {
    fn default() -> Self {
        Self(Vec::with_capacity(MAX_EVENTS))
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    pub(crate) fn watch_event(&self, signal: &Signal, key: usize) -> io::Result<()> {
        Ok(epoll::add(
            &self.0,
            signal,
            EventData::new_u64(key as u64),
            EventFlags::IN | EventFlags::ET,
        )?)
    }

    /// Makes the event ready to be reported again: it is already.
    pub(crate) fn acknowledge(&self, _signal: &Signal) {}

    pub(crate) fn watch(&self, socket: &Socket, key: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(
            &self.0,
            socket,
            EventData::new_u64(key as u64),
            flags(interest),
        )?)
    }

    pub(crate) fn rewatch(&self, socket: &Socket, key: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.0,
            socket,
            EventData::new_u64(key as u64),
            flags(interest),
        )?)
    }

    pub(crate) fn forget(&self, socket: &Socket) -> io::Result<()> {
        Ok(epoll::delete(&self.0, socket)?)
    }

    /// Waits for reports, for so long or for ever. No time at all takes only those that are there.
    pub(crate) fn wait<'a>(
        &self,
        reports: &'a mut Reports,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Ready> + use<'a>> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        reports.0.clear();
        let room = rustix::buffer::spare_capacity(&mut reports.0);
        match epoll::wait(&self.0, room, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(reports.0.iter().map(|event| {
            // The structure is packed.
            let (flags, data) = (event.flags, event.data);
            let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
            Ready {
                key: data.u64() as usize,
                readable: flags.contains(EventFlags::IN) || gone,
                writable: flags.contains(EventFlags::OUT) || gone,
                ended: flags.contains(EventFlags::RDHUP) || gone,
                gone,
            }
        }))
    }
}

/// Edges are reported, so a byte that is not wanted yet costs one report, and reading is never switched off.
pub(crate) fn interest(_reading: bool, writing: bool) -> Interest {
    Interest {
        reading: true,
        writing,
    }
}

fn flags(interest: Interest) -> EventFlags {
    let writing = if interest.writing {
        EventFlags::OUT
    } else {
        EventFlags::empty()
    };
    EventFlags::IN | EventFlags::RDHUP | EventFlags::ET | writing
}
