//! What Linux and macOS have in common.

use std::os::fd::AsFd;

use devices::Event;
use hypervisor::EventRef;

pub(super) fn event_of(event: &Event) -> Option<EventRef<'_>> {
    Some(event.as_fd())
}
