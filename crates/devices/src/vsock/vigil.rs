//! How long the worker looks on for more work before it sleeps.
//!
//! A sleeper costs a round trip twice: the guest's kick leaves the guest, and the host wakes a thread. Whoever looks on
//! needs neither. It pays only while the next packet is sooner there than that: as for KVM's halt polling
//! (`Documentation/virt/kvm/halt-polling.rst`), each sleep tells whether looking on a little longer would have spared it.

use std::time::Duration;

/// The longest that is looked on for. It is more than an emulated guest takes to answer, and little beside what a
/// processor needs to fall asleep deeply.
const LONGEST: Duration = Duration::from_micros(200);
/// What is tried first.
const SHORTEST: Duration = Duration::from_micros(25);

/// Nothing at first: whoever is idle sleeps.
#[derive(Debug, Default)]
pub(super) struct Vigil(Duration);

impl Vigil {
    /// How long to look on before the next sleep.
    pub(super) fn length(&self) -> Duration {
        self.0
    }

    /// Learns from a sleep.
    pub(super) fn slept(&mut self, sleep: Duration) {
        self.0 = if sleep > LONGEST {
            Duration::ZERO
        } else {
            self.0.saturating_mul(2).clamp(SHORTEST, LONGEST)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_woken_soon_looks_on_longer_up_to_a_bound() {
        let mut vigil = Vigil::default();
        assert_eq!(vigil.length(), Duration::ZERO);
        vigil.slept(Duration::from_micros(80));
        assert_eq!(vigil.length(), SHORTEST);
        vigil.slept(Duration::from_micros(80));
        assert_eq!(vigil.length(), 2 * SHORTEST);
        for _ in 0..100 {
            vigil.slept(Duration::from_micros(80));
        }
        assert_eq!(vigil.length(), LONGEST);
    }

    #[test]
    fn one_long_sleep_ends_it() {
        let mut vigil = Vigil::default();
        vigil.slept(Duration::from_micros(1));
        vigil.slept(Duration::from_millis(1));
        assert_eq!(vigil.length(), Duration::ZERO);
    }
}
