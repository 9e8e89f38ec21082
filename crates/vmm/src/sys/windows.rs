//! Windows.

use std::io;

use devices::Event;
use hypervisor::EventRef;
use vm_memory::GuestMemoryMmap;

use crate::control::Accelerator;

pub(super) const NATIVE: Accelerator = Accelerator::Whp;

/// The devices' events belong to their poller and are not of the kind that a hypervisor rings.
pub(super) fn event_of(_: &Event) -> Option<EventRef<'_>> {
    None
}

/// There is no filter for system calls here.
pub(super) fn confine() -> io::Result<()> {
    Ok(())
}

/// The system chooses the size of pages itself.
pub(super) fn prefer_large_pages(_: &GuestMemoryMmap) {}
