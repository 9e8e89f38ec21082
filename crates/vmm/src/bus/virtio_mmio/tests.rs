use std::sync::atomic::AtomicU64;

use devices::ActivateError;
use proptest::prelude::*;
use vm_memory::GuestAddress;

use super::*;

/// What a test sees of a [`Probe`] inside of its registers.
#[derive(Default)]
struct Seen {
    active: Mutex<Option<Activation>>,
    resets: AtomicU64,
    pulses: AtomicU64,
}

/// A device of two queues and eight bytes of configuration.
struct Probe {
    seen: Arc<Seen>,
    config: [u8; 8],
    fails: bool,
}

const OFFERED: u64 = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | 1;

impl VirtioDevice for Probe {
    fn device_type(&self) -> u32 {
        42
    }

    fn features(&self) -> u64 {
        OFFERED
    }

    fn queue_sizes(&self) -> &[u16] {
        &[16, 8]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            *byte = usize::try_from(at)
                .ok()
                .and_then(|at| self.config.get(at))
                .copied()
                .unwrap_or(0);
        }
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        for (at, byte) in (offset..).zip(data) {
            if let Some(place) = usize::try_from(at).ok().and_then(|at| self.config.get_mut(at)) {
                *place = *byte;
            }
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<(), ActivateError> {
        if self.fails {
            return Err(ActivateError::QueueCount {
                expected: 2,
                found: 0,
            });
        }
        *self.seen.active.lock().unwrap() = Some(activation);
        Ok(())
    }

    fn reset(&mut self) {
        self.seen.resets.fetch_add(1, Ordering::SeqCst);
        self.seen.active.lock().unwrap().take();
    }
}

struct Line(Arc<Seen>);

impl InterruptLine for Line {
    fn pulse(&self) {
        self.0.pulses.fetch_add(1, Ordering::SeqCst);
    }
}

fn device(fails: bool) -> (VirtioMmio, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
    let probe = Box::new(Probe {
        seen: seen.clone(),
        config: *b"config!!",
        fails,
    });
    (
        VirtioMmio::new(probe, memory, Box::new(Line(seen.clone()))).unwrap(),
        seen,
    )
}

fn read(device: &VirtioMmio, offset: u64) -> u32 {
    let mut data = [0; 4];
    device.read(offset, &mut data);
    u32::from_le_bytes(data)
}

fn write(device: &VirtioMmio, offset: u64, value: u32) {
    device.write(offset, &value.to_le_bytes());
}

fn accept(device: &VirtioMmio, features: u64) {
    for select in [0, 1] {
        write(device, 0x24, select);
        write(device, 0x20, (features >> (32 * select)) as u32);
    }
}

/// As a driver does it, up to DRIVER_OK, with the first queue in use.
fn bring_up(device: &VirtioMmio) {
    write(device, 0x70, 0);
    write(device, 0x70, 1 | 2);
    accept(device, VIRTIO_F_VERSION_1);
    write(device, 0x70, 1 | 2 | 8);
    assert_eq!(read(device, 0x70), 11);
    write(device, 0x30, 0);
    write(device, 0x38, 4);
    for (offset, address) in [(0x80, 0x1000), (0x90, 0x2000), (0xa0, 0x3000)] {
        write(device, offset, address);
        write(device, offset + 4, 0);
    }
    write(device, 0x44, 1);
    write(device, 0x70, 1 | 2 | 8 | 4);
}

#[test]
fn the_device_names_itself() {
    let (device, _) = device(false);
    assert_eq!(read(&device, 0), 0x7472_6976);
    assert_eq!(read(&device, 4), 2);
    assert_eq!(read(&device, 8), 42);
    write(&device, 0x14, 1);
    assert_eq!(read(&device, 0x10), 1);
    write(&device, 0x14, 2);
    assert_eq!(read(&device, 0x10), 0);
}

#[test]
fn the_device_starts_with_the_queues_that_the_driver_set_up() {
    let (device, seen) = device(false);
    bring_up(&device);
    let active = seen.active.lock().unwrap();
    let active = active.as_ref().unwrap();
    assert_eq!(active.features, VIRTIO_F_VERSION_1);
    let ready: Vec<_> = active.queues.iter().map(|active| active.queue.ready()).collect();
    assert_eq!(ready, [true, false]);
    assert_eq!(active.queues[0].queue.size(), 4);
    assert_eq!(active.queues[0].queue.used_ring(), 0x3000);
}

#[test]
fn features_that_were_not_offered_are_refused() {
    for features in [VIRTIO_F_VERSION_1 | 2, 1, 0] {
        let (device, seen) = device(false);
        write(&device, 0x70, 3);
        accept(&device, features);
        write(&device, 0x70, 11);
        assert_eq!(read(&device, 0x70), 3);
        write(&device, 0x70, 15);
        assert!(seen.active.lock().unwrap().is_none());
    }
}

#[test]
fn a_device_that_runs_does_not_let_its_queues_be_changed() {
    let (device, _) = device(false);
    bring_up(&device);
    write(&device, 0x44, 0);
    assert_eq!(read(&device, 0x44), 1);
}

#[test]
fn a_reset_stops_the_device_and_forgets_what_was_set_up() {
    let (device, seen) = device(false);
    bring_up(&device);
    write(&device, 0x70, 0);
    assert!(seen.active.lock().unwrap().is_none());
    assert_eq!(read(&device, 0x70), 0);
    assert_eq!(read(&device, 0x44), 0);
    bring_up(&device);
    assert!(seen.active.lock().unwrap().is_some());
}

#[test]
fn a_device_that_cannot_start_says_that_it_needs_a_reset() {
    let (device, seen) = device(true);
    bring_up(&device);
    assert_eq!(read(&device, 0x70) & status::NEEDS_RESET, status::NEEDS_RESET);
    assert_eq!(read(&device, 0x60), CONFIG_CHANGE);
    assert_eq!(seen.pulses.load(Ordering::SeqCst), 1);
}

#[test]
fn an_interrupt_is_told_until_it_is_acknowledged() {
    let (device, seen) = device(false);
    bring_up(&device);
    let interrupt = seen.active.lock().unwrap().as_ref().unwrap().queues[0]
        .interrupt
        .clone();
    interrupt.trigger();
    assert_eq!(seen.pulses.load(Ordering::SeqCst), 1);
    assert_eq!(read(&device, 0x60), USED_BUFFER);
    write(&device, 0x64, USED_BUFFER);
    assert_eq!(read(&device, 0x60), 0);
}

#[test]
fn a_change_of_the_configuration_changes_its_generation() {
    let (device, seen) = device(false);
    bring_up(&device);
    let before = read(&device, 0xfc);
    let interrupt = seen
        .active
        .lock()
        .unwrap()
        .as_ref()
        .unwrap()
        .config_interrupt
        .clone();
    interrupt.trigger();
    assert_ne!(read(&device, 0xfc), before);
    assert_eq!(read(&device, 0x60), CONFIG_CHANGE);
}

#[test]
fn the_configuration_is_read_and_written_at_any_width() {
    let (device, _) = device(false);
    let mut data = [0; 3];
    device.read(0x101, &mut data);
    assert_eq!(&data, b"onf");
    device.write(0x100, b"C");
    device.read(0x106, &mut data);
    assert_eq!(&data, b"!!\0");
    assert_eq!(read(&device, 0x100).to_le_bytes(), *b"Conf");
}

#[test]
fn without_a_doorbell_a_kick_rings_the_queues_event() {
    let (device, _) = device(false);
    write(&device, QUEUE_NOTIFY, 1);
    write(&device, QUEUE_NOTIFY, 77);
    device.kicks()[1].wait().unwrap();
}

proptest! {
    #[test]
    fn no_sequence_of_accesses_does_harm(
        accesses in prop::collection::vec(
            (any::<bool>(), prop_oneof![0u64..0x110, any::<u64>()], any::<u64>(), 1usize..=8), 0..200,
        ),
    ) {
        let (device, seen) = device(false);
        for (write, offset, value, size) in accesses {
            let mut data = value.to_le_bytes();
            if write {
                device.write(offset, &data[..size]);
            } else {
                device.read(offset, &mut data[..size]);
            }
        }
        // Whatever it did, it can begin anew.
        bring_up(&device);
        prop_assert!(seen.active.lock().unwrap().is_some());
    }
}
