//! The wall clock of a guest.
//!
//! A guest is told the time once when it boots, and counts from then on with the processor. It does not notice that the
//! computer slept, nor that somebody set its clock, and it runs a little fast or slow: nothing in it speaks NTP. So it is
//! told again when the host's clock jumped, where the system says so, and when something starts in it.

use std::sync::Weak;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;

use super::guest::Guest;
use super::process::Ended;
use crate::sys::ClockJumps;

/// A guest that was told the time in this span of time is not told again for what starts in it, in nanoseconds.
const FRESH: i64 = 60_000_000_000;

/// When a guest was told the time, in nanoseconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Clock(AtomicI64);

impl Clock {
    pub(super) fn told(now: i64) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Notes that the guest is told.
    pub(super) fn tell(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Whether the guest is to be told again.
    pub(super) fn is_due(&self, now: i64) -> bool {
        let told = self.0.load(Ordering::Relaxed);
        // The clock also counts while the computer sleeps, and it can have been set back.
        !(0..=FRESH).contains(&now.saturating_sub(told))
    }
}

/// Tells a guest the time whenever the host's clock jumped, until it ends.
pub(super) async fn tell_of_jumps(guest: Weak<Guest>, mut ended: watch::Receiver<Option<Ended>>) {
    let jumps = match ClockJumps::watch() {
        Ok(jumps) => jumps,
        Err(error) => {
            tracing::warn!(%error, "the guest is not told when the computer's clock is set");
            return;
        }
    };
    loop {
        tokio::select! {
            jumped = jumps.next() => if let Err(error) = jumped {
                tracing::warn!(%error, "the guest is not told any more when the computer's clock is set");
                return;
            },
            _ = ended.wait_for(Option::is_some) => return,
        }
        let Some(guest) = guest.upgrade() else { return };
        tracing::info!("the computer's clock jumped: the guest is told the time");
        guest.tell_time();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_the_time_again_once_after_a_while() {
        let clock = Clock::told(100);
        assert!(!clock.is_due(100 + FRESH));
        assert!(clock.is_due(101 + FRESH));
        clock.tell(101 + FRESH);
        assert!(!clock.is_due(101 + FRESH));
    }

    #[test]
    fn a_guest_is_told_the_time_again_when_the_clock_was_set_back() {
        assert!(Clock::told(100).is_due(99));
    }
}
