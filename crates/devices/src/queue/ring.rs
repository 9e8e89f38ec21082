//! A queue at work on guest memory.

use std::sync::atomic::{Ordering, fence};

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, Le16};

use super::chain::{Chain, DESCRIPTOR_SIZE, RingSlice, walk};
use super::{Queue, QueueError};

/// Flags and index in front of the entries of both rings.
const RING_HEADER: usize = 4;
const INDEX: usize = 2;
const AVAILABLE_ENTRY: usize = 2;
const USED_ENTRY: usize = 8;
/// `avail.flags`: the driver wants no interrupts.
const NO_INTERRUPT: u16 = 1;
/// `used.flags`: the device wants no kicks.
const NO_NOTIFY: u16 = 1;

/// A queue whose three areas were found in guest memory. Taking from the available ring and giving to the used ring
/// are separate, so a device can hold several chains; used chains become visible to the driver with
/// [`Ring::publish`], a batch at a time.
pub(crate) struct Ring<'m> {
    memory: &'m GuestMemoryMmap,
    descriptors: RingSlice<'m>,
    available: RingSlice<'m>,
    used: RingSlice<'m>,
    size: u16,
    event_idx: bool,
    /// How far the driver's index was seen to go.
    seen_available: u16,
    next_available: u16,
    next_used: u16,
    /// The used index that the driver knows.
    published: u16,
}

impl<'m> Ring<'m> {
    /// Finds the queue's areas in `memory`.
    pub(crate) fn attach(queue: &Queue, memory: &'m GuestMemoryMmap) -> Result<Self, QueueError> {
        if !queue.ready {
            return Err(QueueError::NotReady);
        }
        let entries = usize::from(queue.size);
        let area = |area: &'static str, address: u64, align: u64, length: usize| {
            memory
                .get_slice(GuestAddress(address), length)
                .ok()
                .filter(|_| address.is_multiple_of(align))
                .ok_or(QueueError::Area { area, address })
        };
        Ok(Self {
            memory,
            descriptors: area(
                "descriptor table",
                queue.descriptor_table,
                16,
                DESCRIPTOR_SIZE * entries,
            )?,
            available: area(
                "available ring",
                queue.available_ring,
                2,
                RING_HEADER + AVAILABLE_ENTRY * entries + 2,
            )?,
            used: area(
                "used ring",
                queue.used_ring,
                4,
                RING_HEADER + USED_ENTRY * entries + 2,
            )?,
            size: queue.size,
            event_idx: queue.event_idx,
            seen_available: queue.next_available,
            next_available: queue.next_available,
            next_used: queue.next_used,
            published: queue.next_used,
        })
    }

    /// The number of descriptors.
    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// Takes the next available chain and appends its buffers to the two lists. `None`: there is none.
    pub(crate) fn take(
        &mut self,
        readable: &mut Vec<RingSlice<'m>>,
        writable: &mut Vec<RingSlice<'m>>,
    ) -> Result<Option<Chain>, QueueError> {
        if self.next_available == self.seen_available && !self.look()? {
            return Ok(None);
        }
        let slot = RING_HEADER + AVAILABLE_ENTRY * usize::from(self.next_available % self.size);
        let head = load(&self.available, slot, Ordering::Relaxed);
        if head >= self.size {
            return Err(QueueError::Head {
                index: head,
                size: self.size,
            });
        }
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(walk(
            self.memory,
            self.descriptors,
            head,
            readable,
            writable,
        )))
    }

    /// Puts the last `count` chains that were taken back, so that they are taken again.
    pub(crate) fn untake(&mut self, count: u16) {
        self.next_available = self.next_available.wrapping_sub(count);
    }

    /// Reads the driver's index; says whether there are chains to take.
    fn look(&mut self) -> Result<bool, QueueError> {
        self.seen_available = load(&self.available, INDEX, Ordering::Acquire);
        let distance = self.seen_available.wrapping_sub(self.next_available);
        if distance > self.size {
            self.seen_available = self.next_available;
            return Err(QueueError::AvailableIndex {
                distance,
                size: self.size,
            });
        }
        Ok(distance > 0)
    }

    /// Gives a chain back with the number of bytes written to it. The driver sees it after [`Ring::publish`].
    pub(crate) fn give(&mut self, head: u16, written: usize) {
        let slot = RING_HEADER + USED_ENTRY * usize::from(self.next_used % self.size);
        let entry = (u64::from(head) | (written as u64) << 32).to_le();
        // Inside the area that `attach` checked.
        let _ = self.used.write_obj(entry, slot);
        self.next_used = self.next_used.wrapping_add(1);
    }

    /// How many chains were given that the driver has not been shown.
    pub(crate) fn unpublished(&self) -> u16 {
        self.next_used.wrapping_sub(self.published)
    }

    /// Shows the chains given so far to the driver; says whether it wants an interrupt for them.
    pub(crate) fn publish(&mut self) -> bool {
        let old = self.published;
        if old == self.next_used {
            return false;
        }
        store(&self.used, INDEX, self.next_used, Ordering::Release);
        self.published = self.next_used;
        // The index must be visible before the driver's wish is read: the driver writes its wish, then looks at the
        // index once more (section 2.7.10).
        fence(Ordering::SeqCst);
        if self.event_idx {
            let slot = RING_HEADER + AVAILABLE_ENTRY * usize::from(self.size);
            let event = load(&self.available, slot, Ordering::Relaxed);
            self.next_used.wrapping_sub(event).wrapping_sub(1) < self.next_used.wrapping_sub(old)
        } else {
            load(&self.available, 0, Ordering::Relaxed) & NO_INTERRUPT == 0
        }
    }

    /// Asks the driver to kick for the next available chain. `true`: there is one already, no kick will come for it.
    pub(crate) fn enable_kicks(&mut self) -> Result<bool, QueueError> {
        if self.event_idx {
            let slot = RING_HEADER + USED_ENTRY * usize::from(self.size);
            store(&self.used, slot, self.next_available, Ordering::Relaxed);
        } else {
            store(&self.used, 0, 0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        self.look()
    }

    /// Tells the driver that kicks are not needed. With VIRTIO_F_EVENT_IDX they have stopped by themselves.
    pub(crate) fn disable_kicks(&mut self) {
        if !self.event_idx {
            store(&self.used, 0, NO_NOTIFY, Ordering::Relaxed);
        }
    }
}

fn load(slice: &RingSlice<'_>, offset: usize, order: Ordering) -> u16 {
    // Inside an area that `attach` checked, at an even offset of an aligned area.
    slice
        .load::<u16>(offset, order)
        .map(|value| Le16::from(u16::from_le(value)).to_native())
        .unwrap_or_default()
}

fn store(slice: &RingSlice<'_>, offset: usize, value: u16, order: Ordering) {
    // As for `load`.
    let _ = slice.store(value.to_le(), offset, order);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Buffer, Driver, memory};
    use super::*;

    #[test]
    fn chains_come_in_order_with_their_buffers() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[
            Buffer::readable(b"ab"),
            Buffer::readable(b"c"),
            Buffer::writable(5),
        ]);
        driver.offer(&[Buffer::writable(7)]);
        let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let first = ring.take(&mut readable, &mut writable).unwrap().unwrap();
        assert_eq!((first.readable, first.writable, first.malformed), (3, 5, false));
        let mut text = [0; 3];
        super::super::copy_out(&readable, &mut text);
        assert_eq!(&text, b"abc");
        let second = ring.take(&mut readable, &mut writable).unwrap().unwrap();
        assert_eq!((second.readable, second.writable), (0, 7));
        assert!(ring.take(&mut readable, &mut writable).unwrap().is_none());
    }

    #[test]
    fn a_used_chain_is_visible_only_after_publishing() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        let head = driver.offer(&[Buffer::writable(4)]);
        let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
        let chain = ring.take(&mut Vec::new(), &mut Vec::new()).unwrap().unwrap();
        ring.give(chain.head, 3);
        assert_eq!(driver.used(), []);
        assert!(ring.publish());
        assert_eq!(driver.used(), [(head, 3)]);
    }

    #[test]
    fn with_event_index_a_batch_interrupts_only_past_the_wish_of_the_driver() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        let mut queue = driver.queue();
        queue.set_event_idx(true);
        for _ in 0..4 {
            driver.offer(&[Buffer::writable(4)]);
        }
        let mut ring = Ring::attach(&queue, &memory).unwrap();
        let give = |ring: &mut Ring<'_>| {
            let chain = ring.take(&mut Vec::new(), &mut Vec::new()).unwrap().unwrap();
            ring.give(chain.head, 0);
        };
        driver.want_interrupt_after(2);
        give(&mut ring);
        give(&mut ring);
        assert!(!ring.publish());
        give(&mut ring);
        assert!(ring.publish());
        give(&mut ring);
        assert!(!ring.publish());
    }

    #[test]
    fn a_chain_that_was_put_back_is_taken_again() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::writable(4)]);
        let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
        let first = ring.take(&mut Vec::new(), &mut Vec::new()).unwrap();
        assert!(first.is_some());
        ring.untake(1);
        assert_eq!(ring.take(&mut Vec::new(), &mut Vec::new()).unwrap(), first);
    }

    #[test]
    fn a_chain_that_loops_is_malformed_and_ends() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer_loop();
        let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let chain = ring.take(&mut readable, &mut writable).unwrap().unwrap();
        assert!(chain.malformed);
        assert!(readable.len() <= 1024);
    }

    #[test]
    fn an_index_that_runs_ahead_of_the_queue_breaks_it() {
        let memory = memory();
        let driver = Driver::new(&memory, 8);
        driver.set_available_index(9);
        let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
        assert_eq!(
            ring.take(&mut Vec::new(), &mut Vec::new()),
            Err(QueueError::AvailableIndex { distance: 9, size: 8 })
        );
    }

    #[test]
    fn indices_wrap_at_the_end_of_sixteen_bits() {
        let memory = memory();
        let mut driver = Driver::starting_at(&memory, 4, 0xfffe);
        let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
        for _ in 0..6 {
            let head = driver.offer(&[Buffer::writable(4)]);
            let chain = ring.take(&mut Vec::new(), &mut Vec::new()).unwrap().unwrap();
            ring.give(chain.head, 1);
            assert!(ring.publish());
            assert_eq!(driver.used(), [(head, 1)]);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_rings_give_only_guest_memory_and_end(
            content in prop::collection::vec(any::<u8>(), 512),
            offers in 1u16..16,
        ) {
            let memory = memory();
            let driver = Driver::new(&memory, 8);
            driver.scribble(&content);
            driver.set_available_index(offers);
            let mut ring = Ring::attach(&driver.queue(), &memory).unwrap();
            let (mut readable, mut writable) = (Vec::new(), Vec::new());
            let mut taken = 0;
            while let Ok(Some(chain)) = ring.take(&mut readable, &mut writable) {
                prop_assert!(chain.head < 8);
                ring.give(chain.head, 0);
                taken += 1;
            }
            prop_assert!(taken <= 8);
            let low = memory.get_slice(GuestAddress(0), 1).unwrap().ptr_guard().as_ptr() as usize;
            for slice in readable.iter().chain(&writable) {
                let start = slice.ptr_guard().as_ptr() as usize;
                prop_assert!(start >= low && start + slice.len() <= low + super::super::testing::MEMORY_SIZE);
            }
        }
    }
}
