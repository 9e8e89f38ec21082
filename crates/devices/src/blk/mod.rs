//! Block device (virtio 1.3, section 5.2).
//!
//! One queue of requests. A request is a chain: a 16-byte header (type, sector), the data, and a status byte that the
//! device writes last. The disk behind it is a [`Backing`]: a raw file, or the layer disk that maps many files.

mod config;
mod file;
mod layers;
mod request;
mod room;

use std::sync::Arc;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_TOPOLOGY, VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use crate::Event;
use crate::device::{ActivateError, Activation, RING_FEATURES, VirtioDevice};
use crate::worker::Worker;
pub use file::FileDisk;
pub use layers::{Extent, LayerDisk, LayerError, Layers};
pub(crate) use request::Handler;
pub use room::FullNotice;
use room::Room;

/// Bytes of a sector, the unit of every address in the protocol.
pub const SECTOR: u64 = 512;
const QUEUE_SIZES: &[u16] = &[128];
/// A serial number has at most this many bytes.
const SERIAL_SIZE: usize = 20;

/// The content of a disk. Called from the device's worker; may block on host files.
pub trait Backing: Send + Sync {
    /// Bytes; a multiple of [`SECTOR`].
    fn capacity(&self) -> u64;

    /// Whether the guest may not change it.
    fn read_only(&self) -> bool;

    /// Fills all of `buffers` from `offset` bytes on, which the caller checked to be inside the capacity.
    fn read(&self, offset: u64, buffers: &mut Buffers<'_, '_>) -> std::io::Result<()>;

    /// Writes all of `buffers` at `offset` bytes, inside the capacity.
    fn write(&self, offset: u64, buffers: &mut Buffers<'_, '_>) -> std::io::Result<()>;

    /// Makes everything written so far survive a crash of the host.
    fn flush(&self) -> std::io::Result<()>;

    /// The guest needs the range no more; it may read as anything.
    fn discard(&self, offset: u64, length: u64) -> std::io::Result<()>;

    /// Makes the range read as zeroes; `unmap` allows to give its space back.
    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> std::io::Result<()>;
}

pub use request::Buffers;

/// The device: transport side.
pub struct Blk {
    serial: String,
    backing: Arc<dyn Backing>,
    full: Option<FullNotice>,
    /// The worker, and what ends its wait for room on the host.
    worker: Option<(Worker, Event)>,
}

impl Blk {
    /// A disk that tells the guest `serial` (up to 20 bytes of it) as its identity.
    pub fn new(serial: &str, backing: Arc<dyn Backing>) -> Self {
        Self {
            serial: serial.to_owned(),
            backing,
            full: None,
            worker: None,
        }
    }

    /// Keeps what the guest writes while the host's disk is full until there is room, and tells of it. Without this
    /// such a write is an error in the guest.
    #[must_use]
    pub fn waiting_for_room(mut self, notice: FullNotice) -> Self {
        self.full = Some(notice);
        self
    }
}

impl VirtioDevice for Blk {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        let common = [VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_TOPOLOGY];
        let own: &[u32] = if self.backing.read_only() {
            &[VIRTIO_BLK_F_RO]
        } else {
            &[
                VIRTIO_BLK_F_FLUSH,
                VIRTIO_BLK_F_DISCARD,
                VIRTIO_BLK_F_WRITE_ZEROES,
            ]
        };
        common
            .iter()
            .chain(own)
            .fold(RING_FEATURES, |features, bit| features | 1 << bit)
    }

    fn queue_sizes(&self) -> &[u16] {
        QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        config::read(self.backing.capacity(), QUEUE_SIZES, offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        self.reset();
        let stop = Event::new()?;
        let mut handler = Handler::new(&self.serial, self.backing.clone());
        if let Some(notice) = &self.full {
            handler = handler.waiting_for(Room::new(notice.clone(), stop.try_clone()?)?);
        }
        let worker = Worker::serve("blk", handler, activation, QUEUE_SIZES.len())?;
        self.worker = Some((worker, stop));
        Ok(())
    }

    fn reset(&mut self) {
        if let Some((worker, stop)) = self.worker.take() {
            stop.signal();
            worker.stop();
        }
    }
}

impl Drop for Blk {
    fn drop(&mut self) {
        self.reset();
    }
}
