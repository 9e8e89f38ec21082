//! Socket device (virtio 1.3, section 5.10): streams between programs in the guest and programs on the host.
//!
//! Three queues: packets to the guest, packets from the guest, and events, of which this device has none. A packet is
//! a 44-byte header and its payload. Payload moves between a Unix socket and guest memory in one system call for
//! many packets and without a copy in between: `readv` into as many of the guest's buffers as the connection has
//! credit for, `sendmsg` from as many packets as the guest has queued.

mod connection;
mod host;
mod packet;
mod peer;
mod receive;
mod switch;
mod table;
mod transmit;

use std::io;
use std::path::Path;
use std::sync::Arc;

use socket2::Socket;
use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;

use crate::device::{ActivateError, Activation, RING_FEATURES, VirtioDevice, read_config_bytes};
use crate::sys::poll::Poller;
use crate::worker::{Worker, check_queues};
pub(crate) use host::Folder;
#[cfg(any(test, feature = "hostile"))]
pub(crate) use switch::Switch;

/// To the guest, from the guest, events.
const QUEUE_SIZES: &[u16] = &[256, 256, 16];

/// The device: transport side.
pub struct Vsock {
    guest_cid: u64,
    folder: Folder,
    listener: Arc<Socket>,
    worker: Option<Worker>,
}

impl Vsock {
    /// A device whose guest has the address `guest_cid` (3 or more) and whose host programs meet it in `folder`,
    /// which should be closed to other users. Listens there from now on.
    pub fn new(guest_cid: u64, folder: &Path) -> io::Result<Self> {
        let folder = Folder::new(folder);
        let listener = Arc::new(folder.listen()?);
        Ok(Self {
            guest_cid,
            folder,
            listener,
            worker: None,
        })
    }
}

impl VirtioDevice for Vsock {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_VSOCK
    }

    fn features(&self) -> u64 {
        RING_FEATURES
    }

    fn queue_sizes(&self) -> &[u16] {
        QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_config_bytes(&self.guest_cid.to_le_bytes(), offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        self.reset();
        check_queues(&activation, QUEUE_SIZES.len())?;
        let poller = Poller::new()?;
        let (cid, folder, listener) = (self.guest_cid, self.folder.clone(), self.listener.clone());
        self.worker = Some(Worker::spawn("vsock", move |stop| {
            if let Err(error) = switch::run(cid, folder, &listener, &activation, poller, &stop) {
                tracing::error!(%error, "the vsock device stopped");
            }
        })?);
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop();
        }
    }
}

impl Drop for Vsock {
    fn drop(&mut self) {
        self.reset();
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
