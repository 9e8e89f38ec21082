//! How fast this machine's time-stamp counter counts (Intel SDM volume 3, section 18.17).
//!
//! QEMU's TCG shows a guest the counter of the machine that it runs on, so that the guest can be told its frequency.

/// Ticks in a millisecond, measured over a fifth of a second; nothing where the processor has no such counter. Blocks
/// for that time.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the counter has no safe wrapper")]
pub fn host_khz() -> Option<u64> {
    use std::time::{Duration, Instant};

    // SAFETY: reading the counter touches no memory, and every x86-64 processor has it.
    let read = || (Instant::now(), unsafe { std::arch::x86_64::_rdtsc() });
    let (begun, first) = read();
    std::thread::sleep(Duration::from_millis(200));
    let (ended, last) = read();
    let ticks = u128::from(last.checked_sub(first)?);
    u64::try_from(ticks * 1_000_000 / ended.duration_since(begun).as_nanos().max(1)).ok()
}

#[cfg(not(target_arch = "x86_64"))]
pub fn host_khz() -> Option<u64> {
    None
}
