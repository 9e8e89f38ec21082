//! Devices for another program's machine over vhost-user (QEMU's docs/interop/vhost-user).
//!
//! The program that runs the guest (the *front end*) sends, over a Unix socket, the guest's memory as file
//! descriptors, the addresses of the queues, and an eventfd for each direction of each queue. From then on the device
//! works on guest memory by itself; the front end only passes on what the guest does to the device's registers.
//!
//! [`serve`] puts any [`VirtioDevice`] behind such a socket.

mod backend;
mod memory;
#[cfg(test)]
mod tests;

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use devices::VirtioDevice;
use vhost::vhost_user::{BackendReqHandler, Error};

use backend::Backend;

/// A device that is served. Dropping it stops the device.
pub(crate) struct Served {
    connection: UnixStream,
    interrupts: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `device` to the front end at the other end of `connection`, on a thread of its own, until that end closes
/// or the result is dropped. `name` is for messages.
pub(crate) fn serve(name: &str, device: Box<dyn VirtioDevice>, connection: UnixStream) -> io::Result<Served> {
    let interrupts = Arc::new(AtomicU64::new(0));
    let backend = Arc::new(Mutex::new(Backend::new(device, interrupts.clone())));
    let ours = connection.try_clone()?;
    let name = name.to_owned();
    let thread = Builder::new().name("vhost-user".into()).spawn(move || {
        let mut handler = BackendReqHandler::from_stream(connection, backend);
        loop {
            match handler.handle_request() {
                Ok(()) => {}
                Err(Error::Disconnected | Error::PartialMessage | Error::SocketBroken(_)) => break,
                // The front end was told of a request that failed, or sees nothing of it.
                Err(Error::ReqHandlerError(error)) => tracing::warn!(device = name, %error, "vhost-user"),
                Err(error) => {
                    tracing::error!(device = name, %error, "the front end breaks the vhost-user protocol");
                    break;
                }
            }
        }
    })?;
    Ok(Served {
        connection: ours,
        interrupts,
        thread: Some(thread),
    })
}

/// The answer to a request that cannot be met; the connection goes on.
fn refused(why: &'static str) -> Error {
    Error::ReqHandlerError(io::Error::other(why))
}

impl Served {
    /// How often the device has interrupted the guest.
    pub(crate) fn interrupts(&self) -> u64 {
        self.interrupts.load(Ordering::Relaxed)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Fails when the front end has closed already, and then the thread ends by itself.
        let _ = self.connection.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a vhost-user thread panicked");
        }
    }
}
