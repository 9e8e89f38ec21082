//! What a virtio device is to the transport that carries it (virtio 1.3, section 2).
//!
//! A device knows queues, features and its configuration space; it knows neither MMIO registers nor vhost-user
//! messages. A transport negotiates with the driver, then hands over the queues with [`VirtioDevice::activate`];
//! from then on a worker thread of the device serves them until [`VirtioDevice::reset`].

use std::sync::Arc;

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vm_memory::GuestMemoryMmap;

use crate::{Event, Queue};

/// The features that every device here offers: VIRTIO_F_VERSION_1 and both ways to make rings cheap.
pub(crate) const RING_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC;

/// A virtio device, driven by a transport. All methods return without blocking on the guest.
pub trait VirtioDevice: Send {
    /// The device ID of virtio 1.3, section 5.
    fn device_type(&self) -> u32;

    /// Feature bits on offer, VIRTIO_F_VERSION_1 and ring features included.
    fn features(&self) -> u64;

    /// The maximum size of each queue, in descriptors; the length is the number of queues.
    fn queue_sizes(&self) -> &[u16];

    /// Copies from the configuration space; bytes past its end read as zero.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Writes the configuration space; devices without writable fields ignore it.
    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let _ = (offset, data);
    }

    /// Starts to serve the queues. The driver wrote DRIVER_OK.
    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError>;

    /// Stops to serve the queues and waits until guest memory is no longer touched. The device can be activated
    /// again. Without effect on a device that is not active.
    fn reset(&mut self);
}

/// What a device gets when the driver is ready.
pub struct Activation {
    /// The guest's physical memory. Everything in it is hostile.
    pub memory: GuestMemoryMmap,
    /// The features that the driver accepted.
    pub features: u64,
    /// The queues in order. A queue that the driver left unused is not ready (`Queue::ready`).
    pub queues: Vec<ActiveQueue>,
    /// Tells the driver that the configuration space changed.
    pub config_interrupt: Arc<dyn Interrupt>,
}

/// A queue that the driver set up, with its two bells.
pub struct ActiveQueue {
    pub queue: Queue,
    /// Rung by the driver: there are new available buffers.
    pub kick: Event,
    /// Rings the driver: there are used buffers.
    pub interrupt: Arc<dyn Interrupt>,
}

/// Interrupts the driver. Cheap, callable from any thread, never blocks.
pub trait Interrupt: Send + Sync {
    /// Raises the interrupt.
    fn trigger(&self);
}

/// A device could not start to serve its queues. The transport sets DEVICE_NEEDS_RESET.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// The driver set up another number of queues than the device has.
    #[error("the driver set up {found} queues, the device has {expected}")]
    QueueCount { expected: usize, found: usize },
    /// The host refused a thread, an event or a file.
    #[error("the host could not start the device's worker: {0}")]
    Host(#[from] std::io::Error),
}

/// Copies `space` from `offset` on to `data`, and zeroes what lies past its end.
pub(crate) fn read_config_bytes(space: &[u8], offset: u64, data: &mut [u8]) {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| space.get(offset..))
        .unwrap_or_default();
    let mut bytes = rest.iter();
    data.fill_with(|| bytes.next().copied().unwrap_or_default());
}
