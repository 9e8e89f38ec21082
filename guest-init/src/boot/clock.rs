//! The wall clock and the entropy pool, both fed by the host: the machine has no clock of its own that is
//! right after a pause, and a fresh kernel has little randomness.

use std::fs::File;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::failure::{Context, Outcome, invalid};

/// A point in time as nanoseconds since the clock's zero.
pub(crate) fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// The wall clock in nanoseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// Sets the wall clock.
pub(crate) fn set(unix_time_ns: u64) -> Outcome<()> {
    let seconds = i64::try_from(unix_time_ns / 1_000_000_000);
    let time = Timespec {
        tv_sec: seconds.map_err(|_| invalid("the time is out of range"))?,
        tv_nsec: i64::try_from(unix_time_ns % 1_000_000_000).unwrap_or(0),
    };
    clock_settime(ClockId::Realtime, time).context(|| "the machine's clock could not be set".to_owned())
}

/// What the host's clock may differ by without a jump of this one, in nanoseconds.
const MOST_SLEWED: i64 = 500_000_000;

/// Lets the wall clock go the way of the host's: slowly, so that it never goes back, where little is missing, and at
/// once where it is more.
pub(crate) fn follow(unix_time_ns: u64) -> Outcome<()> {
    match slewed(unix_time_ns, now()) {
        Some(nanoseconds) => crate::sys::time::slew(nanoseconds)
            .context(|| "the machine's clock could not be moved".to_owned()),
        None => set(unix_time_ns),
    }
}

/// By how much to slew the clock from `now`; `None` where it is to jump.
fn slewed(told: u64, now: u64) -> Option<i64> {
    told.checked_signed_diff(now)
        .filter(|off| (-MOST_SLEWED..=MOST_SLEWED).contains(off))
}

/// Adds the host's randomness to the pool: 64 hexadecimal digits.
pub(crate) fn add_entropy(digits: &str) -> Outcome<()> {
    // The form of a token is exactly this: 32 bytes as hexadecimal digits.
    let bytes: protocol::Token = digits
        .parse()
        .map_err(|_| invalid("the host's entropy has not 64 hexadecimal digits"))?;
    File::open("/dev/urandom")
        .and_then(|random| crate::sys::ioctl::add_entropy(random, bytes.as_bytes()))
        .context(|| "the host's entropy could not be added".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_a_little_off_is_slewed_and_one_that_is_far_off_jumps() {
        let second = 1_000_000_000;
        assert_eq!(slewed(second + 400, second), Some(400));
        assert_eq!(slewed(second, second + 400), Some(-400));
        assert_eq!(slewed(2 * second, second), None);
        assert_eq!(slewed(second, 2 * second), None);
        assert_eq!(slewed(u64::MAX, 0), None);
    }
}
