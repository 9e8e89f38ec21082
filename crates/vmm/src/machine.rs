//! What every kind of machine is to the process that holds it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use devices::VirtioDevice;
use devices::blk::Layers;

use crate::console::Console;
use crate::control::{Accelerator, Event, Inspection, MachineConfig, StopReason};
use crate::device_set::machine_devices;
use crate::{native, qemu};

/// A machine that runs, whoever executes its instructions. Dropping it stops it.
pub trait Machine: Send {
    /// What is known of it now.
    fn inspect(&self) -> Inspection;

    /// Ends the guest without its consent. The guest executes nothing any more when this returns; a machine that
    /// has stopped already stays so.
    fn stop(&mut self);
}

/// A device and how messages call it, such as `blk layers`.
pub struct NamedDevice {
    pub name: String,
    pub device: Box<dyn VirtioDevice>,
}

/// Everything that a machine is made from.
pub struct Parts {
    pub config: MachineConfig,
    /// In the order in which the guest is to find them.
    pub devices: Vec<NamedDevice>,
    /// Takes what the guest writes on its serial port.
    pub console: Arc<Console>,
    pub events: EventSink,
}

impl Parts {
    /// The parts of the machine that `config` describes; `layers` is what its layer disk shows. Opens the data
    /// disk and makes the vsock's sockets.
    pub fn new(
        config: MachineConfig,
        console: Arc<Console>,
        events: EventSink,
        layers: &Layers,
    ) -> Result<Self, StartError> {
        let devices = machine_devices(&config, layers, &events)?;
        Ok(Self {
            config,
            devices,
            console,
            events,
        })
    }
}

/// Boots a machine the way that its configuration names. The guest runs when this returns.
pub fn start(parts: Parts) -> Result<Box<dyn Machine>, StartError> {
    match parts.config.accelerator {
        Accelerator::Tcg => qemu::start(parts),
        Accelerator::Kvm | Accelerator::Hvf | Accelerator::Whp => native::start(parts),
    }
}

/// A machine could not be started. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    pub message: String,
}

impl StartError {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// How a machine's threads report to its process. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSink {
    /// Reports to `receive`, which is called on the reporting thread and does not block.
    pub fn new(receive: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// The first instruction of the kernel is about to execute.
    pub fn entered(&self) {
        let unix_time_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        (self.0)(Event::Entered { unix_time_ns });
    }

    /// The host has no room for what the guest writes, or has it again.
    pub fn host_disk(&self, full: bool) {
        (self.0)(Event::HostDisk { full });
    }

    /// The guest ended. Of several reports the first one counts.
    pub fn stopped(&self, reason: StopReason) {
        (self.0)(Event::Stopped { reason });
    }
}
