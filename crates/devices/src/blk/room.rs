//! Waiting for room on the host's disk.
//!
//! The image of a disk is sparse, so a write of the guest can find the host's file system full. A guest that is told of
//! an error gives its file system up (ext4 aborts its journal), and what containers wrote is lost. So the request is
//! kept until it can be done, as QEMU does under `werror=enospc`, and whoever runs the machine is told meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::Event;
use crate::sys::poll::{Poller, Reports};

/// Between two attempts. No system tells when a file system has room again, so it has to be tried; only a machine that
/// waits for room does.
const RETRY: Duration = Duration::from_millis(500);

/// Told `true` when a disk's file cannot grow any more, `false` when it can again. Called on the disk's thread; must
/// not block.
pub type FullNotice = Arc<dyn Fn(bool) + Send + Sync>;

/// What a disk's thread waits with.
pub(crate) struct Room {
    notice: FullNotice,
    poller: Poller,
    /// Watched by the poller for as long as it lives.
    _stop: Event,
}

impl Room {
    /// `stop` ends every wait.
    pub(crate) fn new(notice: FullNotice, stop: Event) -> io::Result<Self> {
        let poller = Poller::new()?;
        stop.watch(&poller, 0)?;
        Ok(Self {
            notice,
            poller,
            _stop: stop,
        })
    }

    /// Repeats `attempt` until it meets a disk that is not full, or the device is stopped. What it has done of its
    /// work it must not do again. Blocks.
    pub(crate) fn wait_for(&self, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut result = attempt();
        if !is_full(&result) {
            return result;
        }
        (self.notice)(true);
        while is_full(&result) && !self.is_stopped_within(RETRY) {
            result = attempt();
        }
        (self.notice)(false);
        result
    }

    fn is_stopped_within(&self, time: Duration) -> bool {
        let mut reports = Reports::default();
        self.poller
            .wait(&mut reports, Some(time))
            .is_ok_and(|mut reports| reports.next().is_some())
    }
}

fn is_full(result: &io::Result<()>) -> bool {
    result.as_ref().is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Room whose notices are collected.
    fn room() -> (Room, Event, Arc<Mutex<Vec<bool>>>) {
        let stop = Event::new().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let notices = told.clone();
        let notice: FullNotice = Arc::new(move |full| notices.lock().unwrap().push(full));
        (Room::new(notice, stop.try_clone().unwrap()).unwrap(), stop, told)
    }

    #[test]
    fn a_write_on_a_full_disk_is_done_once_there_is_room() {
        let (room, _stop, told) = room();
        let mut attempts = 0;
        let result = room.wait_for(|| {
            attempts += 1;
            match attempts {
                1 | 2 => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        });
        assert!(result.is_ok());
        assert_eq!(attempts, 3);
        assert_eq!(*told.lock().unwrap(), [true, false]);
    }

    #[test]
    fn another_error_is_not_waited_for() {
        let (room, _stop, told) = room();
        let result = room.wait_for(|| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(told.lock().unwrap().is_empty());
    }

    #[test]
    fn a_device_that_stops_waits_no_longer() {
        let (room, stop, told) = room();
        stop.signal();
        let result = room.wait_for(|| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(*told.lock().unwrap(), [true, false]);
    }
}
