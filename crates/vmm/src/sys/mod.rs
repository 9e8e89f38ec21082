//! What machines ask of the host's operating system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;

use devices::Event;
use hypervisor::EventRef;

use crate::control::Accelerator;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

/// The hypervisor that this system has.
pub(crate) const NATIVE: Accelerator = if cfg!(windows) {
    Accelerator::Whp
} else if cfg!(target_os = "macos") {
    Accelerator::Hvf
} else {
    Accelerator::Kvm
};

/// What a doorbell can ring, if the host's events are of the kind that its hypervisor rings.
pub(crate) fn event_of(event: &Event) -> Option<EventRef<'_>> {
    platform::event_of(event)
}

/// Randomness for a guest's boot.
pub(crate) fn random_seed() -> io::Result<[u8; 64]> {
    let mut seed = [0; 64];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}
