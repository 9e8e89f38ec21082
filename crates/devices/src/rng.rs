//! Entropy device (virtio 1.3, section 5.4): the driver offers writable buffers, the device fills them with random
//! bytes of the host.

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use crate::device::{ActivateError, Activation, RING_FEATURES, VirtioDevice};
use crate::queue::{QueueError, RingSlice, copy_in};
use crate::worker::{Line, Serve, Worker};

const QUEUE_SIZES: &[u16] = &[16];
/// Bytes for one chain; a longer one is used in part, which the standard allows.
const MAX_BYTES: usize = 4096;

/// The device: transport side.
#[derive(Default)]
pub struct Rng {
    worker: Option<Worker>,
}

impl Rng {
    pub fn new() -> Self {
        Self::default()
    }
}

impl VirtioDevice for Rng {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        RING_FEATURES
    }

    fn queue_sizes(&self) -> &[u16] {
        QUEUE_SIZES
    }

    fn read_config(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        self.reset();
        self.worker = Some(Worker::serve("rng", Handler, activation, QUEUE_SIZES.len())?);
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        self.reset();
    }
}

pub(crate) struct Handler;

impl Handler {
    fn fill(&mut self, writable: &[RingSlice<'_>], length: usize) -> usize {
        let mut bytes = [0; MAX_BYTES];
        let count = length.min(MAX_BYTES);
        let Some(part) = bytes.get_mut(..count) else {
            return 0;
        };
        match getrandom::fill(part) {
            Ok(()) => copy_in(writable, part),
            Err(error) => {
                tracing::error!(%error, "the host gives no random bytes");
                0
            }
        }
    }
}

impl Serve for Handler {
    fn serve<'m>(&mut self, _index: usize, line: &mut Line<'m>) -> Result<(), QueueError> {
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        for _ in 0..line.ring.size() {
            readable.clear();
            writable.clear();
            let Some(chain) = line.ring.take(&mut readable, &mut writable)? else {
                break;
            };
            let written = if chain.malformed {
                0
            } else {
                self.fill(&writable, chain.writable)
            };
            line.ring.give(chain.head, written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing::{Buffer, Driver, memory};
    use crate::worker::testing::serve_all;

    #[test]
    fn a_buffer_is_filled_with_bytes_that_differ() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::writable(64)]);
        driver.offer(&[Buffer::writable(64)]);
        serve_all(&mut Handler, 0, &driver.queue(), &memory);
        assert_eq!(driver.used(), [(0, 64), (1, 64)]);
        assert_ne!(driver.buffer(0, 64), driver.buffer(1, 64));
        assert_ne!(driver.buffer(0, 64), [0; 64]);
    }

    #[test]
    fn a_huge_buffer_is_used_in_part() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::writable(100_000)]);
        serve_all(&mut Handler, 0, &driver.queue(), &memory);
        assert_eq!(driver.used(), [(0, MAX_BYTES as u32)]);
    }

    #[test]
    fn a_chain_without_writable_buffers_comes_back_empty() {
        let memory = memory();
        let mut driver = Driver::new(&memory, 8);
        driver.offer(&[Buffer::readable(b"x")]);
        serve_all(&mut Handler, 0, &driver.queue(), &memory);
        assert_eq!(driver.used(), [(0, 0)]);
    }
}
