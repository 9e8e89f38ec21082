//! The rate of an emulated amd64 guest's time-stamp counter.
//!
//! On an amd64 host QEMU's translator lends the guest the host's counter as it is (`cpu_get_host_ticks`). A kernel that
//! is not told the rate measures it against the PIT, which takes a tenth of a second and, because emulated reads are
//! slow, mostly fails; then the guest has no clock finer than its tick of 4 ms. A kernel that is told (`tsc_early_khz`,
//! `tsc=reliable` and `lpj` of the kernel's Documentation/admin-guide/kernel-parameters.rst) has a fine clock and boots
//! sooner. The rate is measured here against the host's clock (Intel SDM volume 3, 19.17, "Time-Stamp Counter").

use std::thread;
use std::time::{Duration, Instant};

/// The least time of a measurement: both readings are some ten nanoseconds wrong.
const LEAST: Duration = Duration::from_millis(4);
/// Readings of which the quickest is the most exact.
const READINGS: usize = 16;
/// Jiffies a second, `CONFIG_HZ` of the guest's kernel.
const HZ: u64 = 250;

/// A measurement that goes on.
#[derive(Clone, Copy)]
pub(super) struct Watch {
    counter: u64,
    begun: Instant,
}

impl Watch {
    /// `None` where the counter is not a clock, or there is none.
    pub(super) fn start() -> Option<Self> {
        if !counter::is_clock() {
            return None;
        }
        let (counter, begun) = reading()?;
        Some(Self { counter, begun })
    }

    /// The rate in kHz. Blocks until the measurement is long enough, milliseconds at most.
    pub(super) fn khz(self) -> Option<u64> {
        if let Some(left) = LEAST.checked_sub(self.begun.elapsed()) {
            thread::sleep(left);
        }
        let (counter, ended) = reading()?;
        rate(
            counter.checked_sub(self.counter)?,
            ended.duration_since(self.begun),
        )
    }
}

/// The words that tell the guest's kernel.
pub(super) fn words(khz: u64) -> Vec<String> {
    vec![
        format!("tsc_early_khz={khz}"),
        "tsc=reliable".to_owned(),
        // Loops of a delay: it waits by the counter, so one loop is one tick of it.
        format!("lpj={}", khz.saturating_mul(1000 / HZ)),
    ]
}

fn rate(ticks: u64, time: Duration) -> Option<u64> {
    let khz = u128::from(ticks)
        .checked_mul(1_000_000)?
        .checked_div(time.as_nanos())?;
    u64::try_from(khz).ok().filter(|khz| *khz > 0)
}

fn reading() -> Option<(u64, Instant)> {
    let readings = (0..READINGS).filter_map(|_| {
        let before = counter::read()?;
        let now = Instant::now();
        let after = counter::read()?;
        let took = after.checked_sub(before)?;
        Some((took, before.checked_add(took / 2)?, now))
    });
    let (_, counter, now) = readings.min_by_key(|(took, ..)| *took)?;
    Some((counter, now))
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};

    /// Whether the counter runs at one rate in every state of the processor (CPUID 0x80000007, EDX bit 8).
    pub(super) fn is_clock() -> bool {
        const POWER: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & INVARIANT != 0
    }

    pub(super) fn read() -> Option<u64> {
        #[allow(unsafe_code, reason = "an instruction of the processor")]
        // SAFETY: every processor of 64 bits has the instruction, and Linux lets programs use it unless one asked to
        // be killed for it (PR_SET_TSC), which nothing here does.
        let counter = unsafe { _rdtsc() };
        Some(counter)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod counter {
    /// What QEMU makes of such a host's counter differs by its version.
    pub(super) fn is_clock() -> bool {
        false
    }

    pub(super) fn read() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_ticks_by_time() {
        assert_eq!(rate(9_781_600, Duration::from_millis(4)), Some(2_445_400));
        assert_eq!(rate(1, Duration::ZERO), None);
        assert_eq!(rate(0, Duration::from_millis(4)), None);
    }

    #[test]
    fn a_delay_of_one_jiffy_is_a_jiffys_ticks() {
        assert_eq!(
            words(2_445_400),
            ["tsc_early_khz=2445400", "tsc=reliable", "lpj=9781600"]
        );
    }

    #[test]
    fn two_measurements_agree_to_a_thousandth() {
        let measured = || Watch::start().map(|watch| watch.khz().unwrap());
        let (Some(first), Some(second)) = (measured(), measured()) else {
            // This processor's counter is no clock.
            return;
        };
        assert!(first.abs_diff(second) < first / 1000, "{first} {second}");
    }
}
