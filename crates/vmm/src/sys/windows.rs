//! Windows: the devices' events belong to their poller and are not of the kind that a hypervisor rings.

use devices::Event;
use hypervisor::EventRef;

pub(super) fn event_of(_: &Event) -> Option<EventRef<'_>> {
    None
}
