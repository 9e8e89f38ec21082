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
