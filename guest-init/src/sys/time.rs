//! adjtimex(2).

use std::io;

use super::check;

/// Lets the wall clock run faster or slower, by half a millisecond a second, until it has moved by this much. A slew that
/// is under way ends.
#[allow(unsafe_code, reason = "adjtimex(2) has no wrapper elsewhere")]
pub(crate) fn slew(nanoseconds: i64) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `timex`.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    request.offset = nanoseconds / 1000;
    // SAFETY: the kernel reads and writes one `timex`.
    check(unsafe { libc::adjtimex(&raw mut request) }.into()).map(drop)
}
