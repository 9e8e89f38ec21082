//! Linux alone.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;

/// Tells when the computer's wall clock jumped: somebody set it, or the computer slept (timerfd_create(2),
/// TFD_TIMER_CANCEL_ON_SET). Costs nothing in between.
#[derive(Debug)]
pub(crate) struct ClockJumps(AsyncFd<OwnedFd>);

impl ClockJumps {
    /// Begins to watch. Needs a runtime.
    #[allow(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
    pub(crate) fn watch() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)?;
        arm(&timer)?;
        // SAFETY: an `OwnedFd` stays the same open descriptor for as long as it lives, and nothing here replaces it.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Self(timer))
    }

    /// The next jump. Safe to cancel.
    pub(crate) async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match rustix::io::read(self.0.get_ref(), &mut [0; 8]) {
                Err(Errno::CANCELED) => {
                    arm(self.0.get_ref())?;
                    return Ok(());
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
                // The end of time came.
                Ok(_) => arm(self.0.get_ref())?,
            }
        }
    }
}

/// Lets the timer run out at the end of time, unless the clock jumps.
fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    rustix::time::timerfd_settime(timer, flags, &never)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_clock_that_runs_on_does_not_jump() {
        let jumps = ClockJumps::watch().unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(50), jumps.next()).await;
        assert!(waited.is_err());
    }
}
