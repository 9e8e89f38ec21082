//! Waiting with the `polling` crate, level-triggered as that is what all systems have in common. What is not wanted
//! is therefore switched off.

use std::io;
use std::time::Duration;

use polling::{Event, Events, PollMode};
use socket2::Socket;

use super::event::Signal;
use super::{Interest, Ready};

pub(crate) struct Poller(polling::Poller);

/// Room for reports, kept between waits.
#[derive(Default)]
pub(crate) struct Reports(Events);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(polling::Poller::new()?))
    }

    pub(crate) fn watch_event(&self, signal: &Signal, key: usize) -> io::Result<()> {
        signal.register(&self.0, key)
    }

    /// Makes the event ready to be reported again.
    pub(crate) fn acknowledge(&self, signal: &Signal) {
        signal.clear();
    }

    #[allow(unsafe_code, reason = "polling asks for a promise on the socket's lifetime")]
    pub(crate) fn watch(&self, socket: &Socket, key: usize, interest: Interest) -> io::Result<()> {
        let event = Event::new(key, interest.reading, interest.writing);
        // SAFETY: sockets are forgotten before they are closed. One that is not leaves the kernel's list by itself;
        // no memory is tied to the registration.
        unsafe { self.0.add_with_mode(socket, event, PollMode::Level) }
    }

    pub(crate) fn rewatch(&self, socket: &Socket, key: usize, interest: Interest) -> io::Result<()> {
        self.0.modify_with_mode(
            socket,
            Event::new(key, interest.reading, interest.writing),
            PollMode::Level,
        )
    }

    pub(crate) fn forget(&self, socket: &Socket) -> io::Result<()> {
        self.0.delete(socket)
    }

    /// Waits for reports, for so long or for ever. No time at all takes only those that are there.
    pub(crate) fn wait<'a>(
        &self,
        reports: &'a mut Reports,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Ready> + use<'a>> {
        reports.0.clear();
        self.0.wait(&mut reports.0, timeout)?;
        Ok(reports.0.iter().map(|event| Ready {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            // Not told by every system: reading finds out.
            ended: event.readable,
            gone: event.is_interrupt(),
        }))
    }
}

/// Levels are reported, so a byte that is not wanted would be reported without end.
pub(crate) fn interest(reading: bool, writing: bool) -> Interest {
    Interest { reading, writing }
}
