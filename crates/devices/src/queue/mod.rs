//! Split virtqueues (virtio 1.3, section 2.7).
//!
//! A queue is three areas of guest memory. The driver describes buffers in the *descriptor table*, chains them, and
//! offers the heads of chains in the *available ring*; the device takes them from there, and gives each back through
//! the *used ring* with the number of bytes that it wrote. With VIRTIO_F_EVENT_IDX each side also says at which index
//! it wants to be told, so that a batch costs one notification.
//!
//! [`Queue`] is what a transport sets up: sizes and addresses, unchecked. A device attaches it to guest memory as a
//! [`Ring`], which checks the areas once and then works on them in place. virtio-queue of rust-vmm would do the
//! same with a look-up of the region for every access, but it does not build for Windows.

mod chain;
mod ring;
#[cfg(any(test, feature = "hostile"))]
pub mod testing;

pub(crate) use chain::{Chain, RingSlice, copy_in, copy_out, skip};
pub(crate) use ring::Ring;

/// A queue can have at most this many descriptors.
pub const MAX_QUEUE_SIZE: u16 = 32768;

/// Where a queue lies and how far it has got, as set by the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    max_size: u16,
    size: u16,
    ready: bool,
    event_idx: bool,
    descriptor_table: u64,
    available_ring: u64,
    used_ring: u64,
    next_available: u16,
    next_used: u16,
}

/// Why a queue cannot be served any longer. The driver broke it; only a reset helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The driver never made the queue ready.
    #[error("the queue is not ready")]
    NotReady,
    /// One of the three areas is not wholly inside one region of guest memory, or is not aligned.
    #[error("the {area} at {address:#x} is not guest memory or not aligned")]
    Area { area: &'static str, address: u64 },
    /// More chains are on offer than the queue has descriptors.
    #[error("the available ring's index runs {distance} ahead of a queue of {size}")]
    AvailableIndex { distance: u16, size: u16 },
    /// The head of a chain is not in the descriptor table.
    #[error("descriptor {index} does not exist in a queue of {size}")]
    Head { index: u16, size: u16 },
}

impl Queue {
    /// A queue that is not set up. `max_size` is rounded down to a power of two between 1 and 32768.
    pub fn new(max_size: u16) -> Self {
        let max_size = if max_size == 0 {
            1
        } else {
            1 << max_size.ilog2().min(15)
        };
        Self {
            max_size,
            size: max_size,
            ready: false,
            event_idx: false,
            descriptor_table: 0,
            available_ring: 0,
            used_ring: 0,
            next_available: 0,
            next_used: 0,
        }
    }

    /// The largest size that the device allows, in descriptors.
    pub fn max_size(&self) -> u16 {
        self.max_size
    }

    /// The size that the driver chose, in descriptors.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Sets the size; anything but a power of two up to the largest size is ignored.
    pub fn set_size(&mut self, size: u16) {
        if size.is_power_of_two() && size <= self.max_size {
            self.size = size;
        }
    }

    /// Whether the driver made the queue ready.
    pub fn ready(&self) -> bool {
        self.ready
    }

    /// Makes the queue ready, or not.
    pub fn set_ready(&mut self, ready: bool) {
        self.ready = ready;
    }

    /// Says that VIRTIO_F_EVENT_IDX was negotiated.
    pub fn set_event_idx(&mut self, enabled: bool) {
        self.event_idx = enabled;
    }

    /// Sets the lower, the upper, or both halves of the descriptor table's guest physical address.
    pub fn set_desc_table_address(&mut self, low: Option<u32>, high: Option<u32>) {
        set_halves(&mut self.descriptor_table, low, high);
    }

    /// Sets the lower, the upper, or both halves of the available ring's guest physical address.
    pub fn set_avail_ring_address(&mut self, low: Option<u32>, high: Option<u32>) {
        set_halves(&mut self.available_ring, low, high);
    }

    /// Sets the lower, the upper, or both halves of the used ring's guest physical address.
    pub fn set_used_ring_address(&mut self, low: Option<u32>, high: Option<u32>) {
        set_halves(&mut self.used_ring, low, high);
    }

    /// The used ring's guest physical address.
    pub fn used_ring(&self) -> u64 {
        self.used_ring
    }

    /// The index of the next available entry that the device takes, modulo 2^16.
    pub fn next_avail(&self) -> u16 {
        self.next_available
    }

    /// Lets the device go on at this available entry.
    pub fn set_next_avail(&mut self, index: u16) {
        self.next_available = index;
    }

    /// Lets the device go on at this used entry.
    pub fn set_next_used(&mut self, index: u16) {
        self.next_used = index;
    }

    /// Back to how it was made.
    pub fn reset(&mut self) {
        *self = Self::new(self.max_size);
    }
}

fn set_halves(address: &mut u64, low: Option<u32>, high: Option<u32>) {
    if let Some(low) = low {
        *address = (*address & !0xffff_ffff) | u64::from(low);
    }
    if let Some(high) = high {
        *address = (*address & 0xffff_ffff) | (u64::from(high) << 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_set_in_halves() {
        let mut queue = Queue::new(16);
        queue.set_used_ring_address(Some(0x1000), None);
        queue.set_used_ring_address(None, Some(2));
        assert_eq!(queue.used_ring(), 0x2_0000_1000);
    }

    #[test]
    fn a_size_that_is_no_power_of_two_or_too_large_is_ignored() {
        let mut queue = Queue::new(256);
        for size in [0, 3, 255, 512] {
            queue.set_size(size);
            assert_eq!(queue.size(), 256);
        }
        queue.set_size(64);
        assert_eq!(queue.size(), 64);
    }

    #[test]
    fn a_reset_forgets_everything_but_the_largest_size() {
        let mut queue = Queue::new(128);
        queue.set_size(8);
        queue.set_ready(true);
        queue.set_next_avail(9);
        queue.reset();
        assert_eq!(queue, Queue::new(128));
    }
}
