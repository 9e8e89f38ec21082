//! A virtio device behind memory-mapped registers (virtio 1.3, section 4.2, version 2).
//!
//! The driver reads what the device offers, accepts features, writes the addresses of its queues, and sets
//! DRIVER_OK: from then on the device's own worker serves the queues. A kick is a write of a queue's number to
//! QueueNotify, which the hypervisor turns into a ring of that queue's event where it can. An interrupt is a bit in
//! InterruptStatus and an edge on the device's line.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::{Activation, ActiveQueue, Event, Interrupt, Queue, VirtioDevice};
use hypervisor::InterruptLine;
use vm_memory::GuestMemoryMmap;

use super::BusDevice;

/// The registers' window, in bytes.
pub(crate) const WINDOW: u64 = 0x1000;
/// Where a kick is written.
pub(crate) const QUEUE_NOTIFY: u64 = 0x50;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"SMPN");
const CONFIG: u64 = 0x100;

const VIRTIO_F_VERSION_1: u64 = 1 << 32;
const VIRTIO_F_EVENT_IDX: u64 = 1 << 29;

/// InterruptStatus.
const USED_BUFFER: u32 = 1;
const CONFIG_CHANGE: u32 = 2;

/// The device status (section 2.1).
mod status {
    pub(super) const DRIVER_OK: u32 = 4;
    pub(super) const FEATURES_OK: u32 = 8;
    pub(super) const NEEDS_RESET: u32 = 64;
    /// What the driver may set: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED.
    pub(super) const OF_DRIVER: u32 = 1 | 2 | DRIVER_OK | FEATURES_OK | 128;
}

/// The registers of one device.
pub(crate) struct VirtioMmio {
    memory: GuestMemoryMmap,
    interrupt: Arc<DeviceInterrupt>,
    /// One for each queue.
    kicks: Vec<Event>,
    registers: Mutex<Registers>,
}

struct Registers {
    device: Box<dyn VirtioDevice>,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    queues: Vec<Queue>,
}

impl VirtioMmio {
    /// Registers for `device`, which serves queues in `memory` and interrupts by `line`.
    pub(crate) fn new(
        device: Box<dyn VirtioDevice>,
        memory: GuestMemoryMmap,
        line: Box<dyn InterruptLine>,
    ) -> io::Result<Self> {
        let queues: Vec<Queue> = device
            .queue_sizes()
            .iter()
            .map(|size| Queue::new(*size))
            .collect();
        let kicks = queues.iter().map(|_| Event::new()).collect::<io::Result<_>>()?;
        let interrupt = Arc::new(DeviceInterrupt {
            status: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            line,
        });
        let registers = Mutex::new(Registers {
            device,
            status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            queues,
        });
        Ok(Self {
            memory,
            interrupt,
            kicks,
            registers,
        })
    }

    /// The events of the queues in order, for doorbells at [`QUEUE_NOTIFY`].
    pub(crate) fn kicks(&self) -> &[Event] {
        &self.kicks
    }

    /// Stops the device's worker; guest memory is touched no more.
    pub(crate) fn stop(&self) {
        self.lock().device.reset();
    }

    fn lock(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_register(&self, offset: u64) -> u32 {
        let registers = self.lock();
        match offset {
            0x000 => MAGIC,
            0x004 => VERSION,
            0x008 => registers.device.device_type(),
            0x00c => VENDOR,
            0x010 => half(registers.device.features(), registers.device_features_select),
            0x034 => registers.queue().map_or(0, |queue| queue.max_size().into()),
            0x044 => registers.queue().map_or(0, |queue| queue.ready().into()),
            0x060 => self.interrupt.status.load(Ordering::SeqCst),
            0x070 => registers.status,
            // SHMLen: no shared memory has a length of all ones.
            0x0b0 | 0x0b4 => u32::MAX,
            0x0fc => self.interrupt.generation.load(Ordering::SeqCst),
            _ => 0,
        }
    }

    fn write_register(&self, offset: u64, value: u32) {
        if offset == QUEUE_NOTIFY {
            // Only without doorbells.
            if let Some(kick) = usize::try_from(value)
                .ok()
                .and_then(|index| self.kicks.get(index))
            {
                kick.signal();
            }
            return;
        }
        let mut registers = self.lock();
        match offset {
            0x014 => registers.device_features_select = value,
            0x020 => registers.accept_features(value),
            0x024 => registers.driver_features_select = value,
            0x030 => registers.queue_select = value,
            0x038 => registers.set_up(|queue| queue.set_size(u16::try_from(value).unwrap_or(0))),
            0x044 => registers.set_up(|queue| queue.set_ready(value & 1 != 0)),
            0x064 => {
                self.interrupt.status.fetch_and(!value, Ordering::SeqCst);
            }
            0x070 => self.write_status(&mut registers, value),
            0x080 => registers.set_up(|queue| queue.set_desc_table_address(Some(value), None)),
            0x084 => registers.set_up(|queue| queue.set_desc_table_address(None, Some(value))),
            0x090 => registers.set_up(|queue| queue.set_avail_ring_address(Some(value), None)),
            0x094 => registers.set_up(|queue| queue.set_avail_ring_address(None, Some(value))),
            0x0a0 => registers.set_up(|queue| queue.set_used_ring_address(Some(value), None)),
            0x0a4 => registers.set_up(|queue| queue.set_used_ring_address(None, Some(value))),
            _ => {}
        }
    }

    fn write_status(&self, registers: &mut Registers, value: u32) {
        if value == 0 {
            registers.reset();
            self.interrupt.status.store(0, Ordering::SeqCst);
            return;
        }
        let mut new = registers.status | (value & status::OF_DRIVER);
        let set = new & !registers.status;
        if set & status::FEATURES_OK != 0 && !registers.features_are_acceptable() {
            // The driver reads the status back and finds it missing (section 3.1.1, step 6).
            new &= !status::FEATURES_OK;
        }
        if set & status::DRIVER_OK != 0 && new & status::FEATURES_OK == 0 {
            new &= !status::DRIVER_OK;
        }
        registers.status = new;
        if set & new & status::DRIVER_OK != 0
            && let Err(error) = self.activate(registers)
        {
            tracing::warn!(
                "the virtio device {} does not start: {error}",
                registers.device.device_type()
            );
            registers.status |= status::NEEDS_RESET;
            ConfigInterrupt(self.interrupt.clone()).trigger();
        }
    }

    fn activate(&self, registers: &mut Registers) -> Result<(), devices::ActivateError> {
        let event_idx = registers.driver_features & VIRTIO_F_EVENT_IDX != 0;
        let queues = registers.queues.iter().zip(&self.kicks).map(|(queue, kick)| {
            let mut queue = queue.clone();
            queue.set_event_idx(event_idx);
            let interrupt = Arc::new(QueueInterrupt(self.interrupt.clone()));
            Ok(ActiveQueue {
                queue,
                kick: kick.try_clone()?,
                interrupt,
            })
        });
        let queues = queues.collect::<io::Result<Vec<_>>>()?;
        registers.device.activate(Activation {
            memory: self.memory.clone(),
            features: registers.driver_features,
            queues,
            config_interrupt: Arc::new(ConfigInterrupt(self.interrupt.clone())),
        })
    }
}

impl BusDevice for VirtioMmio {
    fn read(&self, offset: u64, data: &mut [u8]) {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            self.lock().device.read_config(offset, data);
        } else if data.len() == 4 {
            // Registers are 32 bits wide and aligned (section 4.2.2.2); other accesses read as zero.
            data.copy_from_slice(&self.read_register(offset).to_le_bytes());
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            self.lock().device.write_config(offset, data);
        } else if let Ok(bytes) = data.try_into() {
            self.write_register(offset, u32::from_le_bytes(bytes));
        }
    }
}

impl Registers {
    fn queue(&self) -> Option<&Queue> {
        self.queues.get(usize::try_from(self.queue_select).ok()?)
    }

    /// Queues are set up between FEATURES_OK and DRIVER_OK (section 3.1.1, step 7); later writes have no effect.
    fn set_up(&mut self, change: impl FnOnce(&mut Queue)) {
        if self.status & (status::FEATURES_OK | status::DRIVER_OK) != status::FEATURES_OK {
            return;
        }
        let index = usize::try_from(self.queue_select).unwrap_or(usize::MAX);
        if let Some(queue) = self.queues.get_mut(index) {
            change(queue);
        }
    }

    fn accept_features(&mut self, value: u32) {
        if self.status & status::FEATURES_OK != 0 {
            return;
        }
        let value = u64::from(value);
        match self.driver_features_select {
            0 => self.driver_features = self.driver_features & !0xffff_ffff | value,
            1 => self.driver_features = self.driver_features & 0xffff_ffff | value << 32,
            // Features above 63 are not on offer. Setting them makes the set unacceptable.
            _ if value != 0 => self.driver_features = 0,
            _ => {}
        }
    }

    fn features_are_acceptable(&self) -> bool {
        let offered = self.device.features();
        self.driver_features & !offered == 0 && self.driver_features & VIRTIO_F_VERSION_1 != 0
    }

    fn reset(&mut self) {
        self.device.reset();
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        self.queues.iter_mut().for_each(Queue::reset);
    }
}

/// 32 bits of 64, by number.
fn half(value: u64, select: u32) -> u32 {
    match select {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

/// What the interrupts of one device share.
struct DeviceInterrupt {
    status: AtomicU32,
    generation: AtomicU32,
    line: Box<dyn InterruptLine>,
}

struct QueueInterrupt(Arc<DeviceInterrupt>);

impl Interrupt for QueueInterrupt {
    fn trigger(&self) {
        self.0.status.fetch_or(USED_BUFFER, Ordering::SeqCst);
        self.0.line.pulse();
    }
}

struct ConfigInterrupt(Arc<DeviceInterrupt>);

impl Interrupt for ConfigInterrupt {
    fn trigger(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        self.0.status.fetch_or(CONFIG_CHANGE, Ordering::SeqCst);
        self.0.line.pulse();
    }
}
