//! The requests of the front end, turned into the life of one device.
//!
//! A queue is *started* when it has addresses and a kick, and runs when it is *enabled* as well. The device starts
//! once every started queue is enabled, as the front end starts all before it enables the first; it stops when one is
//! disabled or asked for its position.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use devices::{Activation, ActiveQueue, Event, Interrupt, Queue, VirtioDevice};
use vhost::vhost_user::message::*;
use vhost::vhost_user::{Error, Result, VhostUserBackendReqHandlerMut};
use vm_memory::{Bytes, GuestAddress};

use super::memory::Table;
use super::refused;

const PROTOCOL_FEATURES: u64 = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
/// VIRTIO_F_RING_EVENT_IDX.
const EVENT_IDX: u64 = 1 << 29;
/// The front end and its guest agree on sizes without asking the device. QEMU allows this much.
const MAX_QUEUE_SIZE: u16 = 1024;
/// Where the used ring has its index.
const USED_INDEX: u64 = 2;

/// One device and what the front end has told so far.
pub(super) struct Backend {
    device: Box<dyn VirtioDevice>,
    active: bool,
    features: u64,
    table: Option<Table>,
    queues: Vec<Ring>,
}

/// One queue as set up so far.
struct Ring {
    queue: Queue,
    kick: Option<Event>,
    call: Arc<Call>,
    enabled: bool,
}

/// Interrupts the guest through the front end's eventfd, which may be replaced while the device works.
struct Call {
    event: Mutex<Option<Event>>,
    count: Arc<AtomicU64>,
}

impl Call {
    fn set(&self, event: Option<Event>) {
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = event;
    }
}

impl Interrupt for Call {
    fn trigger(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(event) = &*self.event.lock().unwrap_or_else(PoisonError::into_inner) {
            event.signal();
        }
    }
}

/// The front end has no way to be told of a changed configuration, and no device here changes its own.
struct NoConfigChange;

impl Interrupt for NoConfigChange {
    fn trigger(&self) {}
}

impl Backend {
    pub(super) fn new(device: Box<dyn VirtioDevice>, interrupts: Arc<AtomicU64>) -> Self {
        let ring = |_| Ring {
            queue: Queue::new(MAX_QUEUE_SIZE),
            kick: None,
            call: Arc::new(Call {
                event: Mutex::new(None),
                count: interrupts.clone(),
            }),
            enabled: false,
        };
        let queues = device.queue_sizes().iter().map(ring).collect();
        Self {
            device,
            active: false,
            features: 0,
            table: None,
            queues,
        }
    }

    fn ring(&mut self, index: u32) -> Result<&mut Ring> {
        self.queues
            .get_mut(index as usize)
            .ok_or_else(|| refused("there is no such queue"))
    }

    fn stop(&mut self) {
        if self.active {
            self.device.reset();
            self.active = false;
        }
    }

    /// Starts the device if all its started queues are enabled.
    fn start(&mut self) -> Result<()> {
        self.stop();
        let started = |ring: &Ring| ring.queue.ready() && ring.kick.is_some();
        let Some(table) = &self.table else { return Ok(()) };
        if !self.queues.iter().any(started) || self.queues.iter().any(|ring| started(ring) && !ring.enabled) {
            return Ok(());
        }
        let mut queues = Vec::with_capacity(self.queues.len());
        for ring in &self.queues {
            let mut queue = ring.queue.clone();
            queue.set_event_idx(self.features & EVENT_IDX != 0);
            let kick = match &ring.kick {
                Some(kick) => kick.try_clone(),
                None => {
                    queue.set_ready(false);
                    Event::new()
                }
            };
            if queue.ready() {
                queue.set_next_used(used_index(table, &queue)?);
            }
            queues.push(ActiveQueue {
                queue,
                kick: kick.map_err(Error::ReqHandlerError)?,
                interrupt: ring.call.clone(),
            });
        }
        let activation = Activation {
            memory: table.memory.clone(),
            features: self.features & !PROTOCOL_FEATURES,
            queues,
            config_interrupt: Arc::new(NoConfigChange),
        };
        self.device
            .activate(activation)
            .map_err(|error| Error::ReqHandlerError(std::io::Error::other(error)))?;
        self.active = true;
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn used_index(table: &Table, queue: &Queue) -> Result<u16> {
    let address = queue
        .used_ring()
        .checked_add(USED_INDEX)
        .ok_or_else(|| refused("the used ring is not in guest memory"))?;
    let index: u16 = table
        .memory
        .read_obj(GuestAddress(address))
        .map_err(|_| refused("the used ring is not in guest memory"))?;
    Ok(u16::from_le(index))
}

fn halves(address: u64) -> (Option<u32>, Option<u32>) {
    (Some(address as u32), Some((address >> 32) as u32))
}

fn event(file: Option<File>) -> Option<Event> {
    file.map(|file| Event::from(OwnedFd::from(file)))
}

/// What the front end may not ask, as the feature for it was not offered.
fn not_offered<T>() -> Result<T> {
    Err(Error::InvalidOperation("not offered"))
}

impl VhostUserBackendReqHandlerMut for Backend {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        self.stop();
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        self.stop();
        for ring in &mut self.queues {
            ring.queue.reset();
            ring.kick = None;
            ring.enabled = false;
        }
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(self.device.features() | PROTOCOL_FEATURES)
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        if features & !(self.device.features() | PROTOCOL_FEATURES) != 0 {
            return Err(refused("features that were not offered"));
        }
        self.features = features;
        Ok(())
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy: Option<bool>,
    ) -> Result<Option<Vec<vhost::VhostUserMemoryRegionBase>>> {
        let running = self.active;
        self.stop();
        self.table = Some(Table::new(regions, files)?);
        if running {
            self.start()?;
        }
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, size: u32) -> Result<()> {
        let ring = self.ring(index)?;
        let size = u16::try_from(size).map_err(|_| refused("a queue cannot have this size"))?;
        ring.queue.set_size(size);
        if ring.queue.size() == size {
            Ok(())
        } else {
            Err(refused("a queue cannot have this size"))
        }
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        let table = self
            .table
            .as_ref()
            .ok_or_else(|| refused("there is no guest memory yet"))?;
        let [descriptor, used, available] = [
            table.guest_address(descriptor)?,
            table.guest_address(used)?,
            table.guest_address(available)?,
        ];
        let ring = self.ring(index)?;
        let (low, high) = halves(descriptor);
        ring.queue.set_desc_table_address(low, high);
        let (low, high) = halves(available);
        ring.queue.set_avail_ring_address(low, high);
        let (low, high) = halves(used);
        ring.queue.set_used_ring_address(low, high);
        ring.queue.set_ready(true);
        Ok(())
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        let base = u16::try_from(base).map_err(|_| refused("a position of more than 16 bits"))?;
        self.ring(index)?.queue.set_next_avail(base);
        Ok(())
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        self.stop();
        // Every device here gives a chain back before it takes the next to keep, so at rest what was used is what
        // was taken.
        let position = match (&self.table, self.queues.get(index as usize)) {
            (Some(table), Some(ring)) if ring.queue.ready() => used_index(table, &ring.queue)?,
            (_, Some(ring)) => ring.queue.next_avail(),
            _ => return Err(refused("there is no such queue")),
        };
        let ring = self.ring(index)?;
        ring.queue.set_ready(false);
        ring.kick = None;
        ring.enabled = false;
        Ok(VhostUserVringState::new(index, u32::from(position)))
    }

    fn set_vring_kick(&mut self, index: u8, file: Option<File>) -> Result<()> {
        let without_enable = self.features & PROTOCOL_FEATURES == 0;
        let ring = self.ring(u32::from(index))?;
        ring.kick = event(file);
        if without_enable {
            ring.enabled = true;
            self.start()?;
        }
        Ok(())
    }

    fn set_vring_call(&mut self, index: u8, file: Option<File>) -> Result<()> {
        self.ring(u32::from(index))?.call.set(event(file));
        Ok(())
    }

    fn set_vring_err(&mut self, _index: u8, _file: Option<File>) -> Result<()> {
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK)
    }

    fn set_protocol_features(&mut self, _features: u64) -> Result<()> {
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(self.queues.len() as u64)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.ring(index)?.enabled = enable;
        if enable {
            self.start()
        } else {
            self.stop();
            Ok(())
        }
    }

    fn get_config(&mut self, offset: u32, size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        // The message's length bounds the size.
        let mut data = vec![0; size as usize];
        self.device.read_config(u64::from(offset), &mut data);
        Ok(data)
    }

    fn set_config(&mut self, offset: u32, data: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        self.device.write_config(u64::from(offset), data);
        Ok(())
    }

    fn set_gpu_socket(&mut self, _gpu: vhost::vhost_user::GpuBackend) -> Result<()> {
        not_offered()
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        not_offered()
    }

    fn get_inflight_fd(&mut self, _inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        not_offered()
    }

    fn set_inflight_fd(&mut self, _inflight: &VhostUserInflight, _file: File) -> Result<()> {
        not_offered()
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        not_offered()
    }

    fn add_mem_region(
        &mut self,
        _region: &VhostUserSingleMemoryRegion,
        _file: File,
        _postcopy: Option<bool>,
    ) -> Result<Option<vhost::VhostUserMemoryRegionBase>> {
        not_offered()
    }

    fn remove_mem_region(&mut self, _region: &VhostUserSingleMemoryRegion) -> Result<()> {
        not_offered()
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _file: File,
    ) -> Result<Option<File>> {
        not_offered()
    }

    fn check_device_state(&mut self) -> Result<()> {
        not_offered()
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        not_offered()
    }

    fn set_log_base(&mut self, _log: &VhostUserLog, _file: File) -> Result<()> {
        not_offered()
    }
}
