//! Memory balloon (virtio 1.3, section 5.5): guest memory that the guest does not use goes back to the host.
//!
//! Queue 0 inflates: the driver lists pages that it gives away. Queue 1 deflates: it takes pages back, for which
//! nothing has to be done, as a page comes back when it is touched. The last queue is *free page reporting*
//! (section 5.5.6.9): the driver hands out ranges of free memory as buffers, and may use them again as soon as they
//! come back. That keeps an idle guest small without anybody choosing a balloon's size.

use virtio_bindings::virtio_ids::VIRTIO_ID_BALLOON;
use vm_memory::{GuestAddress, GuestMemoryBackend};

use crate::device::{ActivateError, Activation, RING_FEATURES, VirtioDevice, read_config_bytes};
use crate::queue::{QueueError, RingSlice, copy_out};
use crate::sys::memory::release;
use crate::worker::{Line, Serve, Worker};

/// Inflate, deflate, reporting. The queues between them belong to features that are not offered here.
const QUEUE_SIZES: &[u16] = &[128, 128, 32];
const INFLATE: usize = 0;
const REPORTING: usize = 2;
/// VIRTIO_BALLOON_F_PAGE_REPORTING.
const PAGE_REPORTING: u32 = 5;
/// The unit of page numbers, whatever the pages of guest and host are.
const PAGE: u64 = 4096;
/// Page numbers that are read from one chain; Linux sends 256.
const MAX_PAGES: usize = 4096;

/// The device: transport side.
#[derive(Default)]
pub struct Balloon {
    worker: Option<Worker>,
}

impl Balloon {
    /// A balloon that asks the guest for nothing and takes what it reports.
    pub fn new() -> Self {
        Self::default()
    }
}

impl VirtioDevice for Balloon {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BALLOON
    }

    fn features(&self) -> u64 {
        RING_FEATURES | 1 << PAGE_REPORTING
    }

    fn queue_sizes(&self) -> &[u16] {
        QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // Wanted pages and actual pages, both none.
        read_config_bytes(&[0; 16], offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        self.reset();
        self.worker = Some(Worker::serve("balloon", Handler, activation, QUEUE_SIZES.len())?);
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}

impl Drop for Balloon {
    fn drop(&mut self) {
        self.reset();
    }
}

pub(crate) struct Handler;

impl Serve for Handler {
    fn serve<'m>(&mut self, index: usize, line: &mut Line<'m>) -> Result<(), QueueError> {
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        for _ in 0..line.ring.size() {
            readable.clear();
            writable.clear();
            let Some(chain) = line.ring.take(&mut readable, &mut writable)? else {
                break;
            };
            match index {
                INFLATE if !chain.malformed => inflate(line, &readable),
                REPORTING if !chain.malformed => report(line, &writable),
                _ => {}
            }
            line.ring.give(chain.head, 0);
        }
        Ok(())
    }
}

/// Frees the pages whose numbers the driver lists, neighbours together.
fn inflate(line: &Line<'_>, readable: &[RingSlice<'_>]) {
    let mut bytes = vec![0; MAX_PAGES * 4];
    let count = copy_out(readable, &mut bytes);
    let mut run: Option<(u64, u64)> = None;
    let pages = bytes.get(..count).unwrap_or_default().as_chunks::<4>().0;
    for page in pages {
        let page = u64::from(u32::from_le_bytes(*page));
        run = match run {
            Some((first, next)) if page == next => Some((first, next + 1)),
            other => {
                free_pages(line, other);
                Some((page, page + 1))
            }
        };
    }
    free_pages(line, run);
}

fn free_pages(line: &Line<'_>, run: Option<(u64, u64)>) {
    let Some((first, next)) = run else { return };
    let length = ((next - first) * PAGE) as usize;
    match line.memory.get_slice(GuestAddress(first * PAGE), length) {
        Ok(slice) => free(line, &slice),
        Err(error) => tracing::debug!(%error, "the guest gives away memory that it does not have"),
    }
}

/// Frees the ranges that the driver lends.
fn report(line: &Line<'_>, writable: &[RingSlice<'_>]) {
    for slice in writable {
        free(line, slice);
    }
}

fn free(line: &Line<'_>, slice: &RingSlice<'_>) {
    if let Err(error) = release(line.memory, slice) {
        tracing::debug!(%error, "the host does not take memory back");
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestMemoryMmap};

    use super::*;
    use crate::queue::testing::{Buffer, Driver};
    use crate::worker::testing::serve_all;

    const SIZE: usize = 2 << 20;

    fn memory() -> GuestMemoryMmap {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), SIZE)]).unwrap();
        memory
            .write_slice(&vec![1; SIZE - 0x10_0000], GuestAddress(0x10_0000))
            .unwrap();
        memory
    }

    fn byte(memory: &GuestMemoryMmap, address: u64) -> u8 {
        memory.read_obj(GuestAddress(address)).unwrap()
    }

    #[test]
    fn reported_memory_is_freed_and_the_rest_is_kept() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::Raw(0x11_0000, 0x4_0000, true)]);
        serve_all(&mut Handler, REPORTING, &driver.queue(), &memory);
        assert_eq!(driver.used(), [(0, 0)]);
        assert_eq!(byte(&memory, 0x11_0000), 0);
        assert_eq!(byte(&memory, 0x10_ffff), 1);
        assert_eq!(byte(&memory, 0x15_0000), 1);
    }

    #[test]
    fn a_range_that_is_not_whole_pages_is_freed_inside_only() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::Raw(0x11_0001, 0x4_0000, true)]);
        serve_all(&mut Handler, REPORTING, &driver.queue(), &memory);
        assert_eq!(byte(&memory, 0x11_0001), 1);
        assert_eq!(byte(&memory, 0x15_0000), 1);
        assert_eq!(byte(&memory, 0x12_0000), 0);
    }

    #[test]
    fn inflated_pages_are_freed_and_pages_outside_of_memory_are_ignored() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        let pages = [0x120u32, 0x121, 0xffff_ffff, 0x130];
        let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
        driver.offer(&[Buffer::Readable(bytes)]);
        serve_all(&mut Handler, INFLATE, &driver.queue(), &memory);
        assert_eq!(driver.used().len(), 1);
        let freed: Vec<u64> = (0x11f..0x132)
            .filter(|page| byte(&memory, page * PAGE) == 0)
            .collect();
        assert_eq!(freed, [0x120, 0x121, 0x130]);
    }
}
