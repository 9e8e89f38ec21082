//! An event that one thread rings and a poller or another thread waits for.
//!
//! Virtio calls this a notification: the driver's kick of a queue, the end of a worker. Each system has one cheap
//! object that counts as a doorbell and that its poller understands: an eventfd on Linux (eventfd(2), which is also
//! what ioeventfd and vhost-user carry), a socket pair on macOS, a manual-reset event on Windows.

use std::io;

use crate::sys::event::Signal;
use crate::sys::poll::Poller;

/// A doorbell that stays rung until it is cleared. Rings that nobody cleared in between count as one.
#[derive(Debug)]
pub struct Event {
    signal: Signal,
}

impl Event {
    /// Makes an event that is not rung.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            signal: Signal::new()?,
        })
    }

    /// Rings. Never blocks; ringing a rung event has no effect.
    pub fn signal(&self) {
        self.signal.set();
    }

    /// Takes the ring back. Never blocks.
    pub fn clear(&self) {
        self.signal.clear();
    }

    /// Blocks until the event is rung; leaves it rung.
    pub fn wait(&self) -> io::Result<()> {
        self.signal.wait()
    }

    /// Another handle on the same event.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            signal: self.signal.try_clone()?,
        })
    }

    /// Makes `poller` report every ring under `key`.
    pub(crate) fn watch(&self, poller: &Poller, key: usize) -> io::Result<()> {
        poller.watch_event(&self.signal, key)
    }

    /// Takes a report of `poller`, which then reports the next ring. To be called before what the ring stands for is
    /// looked at.
    pub(crate) fn acknowledge(&self, poller: &Poller) {
        poller.acknowledge(&self.signal);
    }
}

/// The descriptor to poll; on Linux the eventfd.
#[cfg(unix)]
impl std::os::fd::AsFd for Event {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

/// Adopts an eventfd that another process sent.
#[cfg(target_os = "linux")]
impl From<std::os::fd::OwnedFd> for Event {
    fn from(descriptor: std::os::fd::OwnedFd) -> Self {
        Self {
            signal: Signal::from(descriptor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::Reports;

    fn rung(poller: &Poller) -> Vec<usize> {
        poller
            .wait(&mut Reports::default(), Some(std::time::Duration::ZERO))
            .unwrap()
            .map(|ready| ready.key)
            .collect()
    }

    #[test]
    fn rings_are_reported_once_when_they_were_acknowledged() {
        let poller = Poller::new().unwrap();
        let event = Event::new().unwrap();
        event.watch(&poller, 7).unwrap();
        assert!(rung(&poller).is_empty());
        for _ in 0..2 {
            event.signal();
            event.signal();
            assert_eq!(rung(&poller), vec![7usize]);
            event.acknowledge(&poller);
            assert!(rung(&poller).is_empty());
        }
    }

    #[test]
    fn a_ring_from_before_the_watch_is_reported() {
        let poller = Poller::new().unwrap();
        let event = Event::new().unwrap();
        event.signal();
        event.watch(&poller, 7).unwrap();
        assert_eq!(rung(&poller), vec![7usize]);
    }

    #[test]
    fn a_clone_rings_the_same_event() {
        let event = Event::new().unwrap();
        let clone = event.try_clone().unwrap();
        let ringer = std::thread::spawn(move || clone.signal());
        event.wait().unwrap();
        ringer.join().unwrap();
    }
}
