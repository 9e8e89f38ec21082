//! Virtual devices: virtio queues and the devices behind them, serial port, real-time clock.
//!
//! No device here knows the hypervisor or the transport, so the same code serves a guest under KVM through
//! virtio-mmio and a guest under QEMU through vhost-user.

pub mod balloon;
pub mod blk;
pub mod console;
pub mod device;
mod event;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod legacy;
pub mod queue;
pub mod rng;
mod sys;
pub mod vsock;

mod worker;

pub use device::{ActivateError, Activation, ActiveQueue, Interrupt, VirtioDevice};
pub use event::Event;
pub use queue::Queue;
