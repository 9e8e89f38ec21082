//! What machines ask of the host's operating system.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod platform;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;
#[cfg(unix)]
mod unix;

use std::io;

use devices::Event;
use hypervisor::EventRef;
use vm_memory::GuestMemoryMmap;

use crate::control::Accelerator;

/// The hypervisor that this system has.
pub(crate) const NATIVE: Accelerator = platform::NATIVE;

/// What a doorbell can ring, if the host's events are of the kind that its hypervisor rings.
pub(crate) fn event_of(event: &Event) -> Option<EventRef<'_>> {
    platform::event_of(event)
}

/// Gives up, in every thread and for good, what a process that runs a guest does not need. A guest that broke out
/// into this process could then not execute programs, change its identity, or look into other processes.
pub(crate) fn confine() -> io::Result<()> {
    platform::confine()
}

/// Asks the host to back guest memory by its large pages as the guest touches it. A page fault leaves the guest: in
/// a boot that touches 50 MiB there were 10443 of them with small pages and 32 with large ones, for 12% more memory.
pub(crate) fn prefer_large_pages(memory: &GuestMemoryMmap) {
    platform::prefer_large_pages(memory);
}

/// Randomness for a guest's boot.
pub(crate) fn random_seed() -> io::Result<[u8; 64]> {
    let mut seed = [0; 64];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}
