//! macOS.

use std::io;

use vm_memory::GuestMemoryMmap;

use crate::control::Accelerator;

pub(super) use super::unix::event_of;

pub(super) const NATIVE: Accelerator = Accelerator::Hvf;

/// The system confines a process by the entitlements that it was signed with.
pub(super) fn confine() -> io::Result<()> {
    Ok(())
}

/// The system chooses the size of pages itself.
pub(super) fn prefer_large_pages(_: &GuestMemoryMmap) {}
