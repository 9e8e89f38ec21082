//! A front end and a device of ours.

use std::os::fd::{AsFd, AsRawFd};

use devices::VirtioDevice;
use devices::queue::testing::{Buffer, Driver, MEMORY_SIZE};
use devices::rng::Rng;
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

use super::*;

/// Where the front end says that it has guest memory.
const FRONT_END: u64 = 0x7f00_0000_0000;
const SIZE: u16 = 16;

struct Machine {
    front_end: Frontend,
    memory: GuestMemoryMmap,
    kick: EventFd,
    call: EventFd,
    served: Served,
}

impl Machine {
    /// Waits for the device's call and returns how often it called. The device made the shared descriptor
    /// non-blocking.
    fn called(&self) -> u64 {
        // SAFETY: `call` owns the descriptor and outlives the borrow.
        #[allow(unsafe_code, reason = "vmm-sys-util's events are not AsFd")]
        let call = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.call.as_raw_fd()) };
        let mut calls = [rustix::event::PollFd::from_borrowed_fd(
            call,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut calls, None).unwrap();
        self.call.read().unwrap()
    }

    fn new(device: impl VirtioDevice + 'static) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let served = serve("test", Box::new(device), ours).unwrap();
        let mut front_end = Frontend::from_stream(theirs, 1);
        let file = tempfile::tempfile().unwrap();
        file.set_len(MEMORY_SIZE as u64).unwrap();
        let offset = FileOffset::new(file.try_clone().unwrap(), 0);
        let memory =
            GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), MEMORY_SIZE, Some(offset))]).unwrap();
        front_end.set_owner().unwrap();
        let features = front_end.get_features().unwrap();
        assert_ne!(features & VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits(), 0);
        front_end.set_features(features & !(1 << 29)).unwrap();
        let protocol = front_end.get_protocol_features().unwrap();
        assert!(protocol.contains(VhostUserProtocolFeatures::CONFIG));
        front_end.set_protocol_features(protocol).unwrap();
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: 0,
            memory_size: MEMORY_SIZE as u64,
            userspace_addr: FRONT_END,
            mmap_offset: 0,
            mmap_handle: std::os::fd::AsRawFd::as_raw_fd(&file.as_fd()),
        };
        front_end.set_mem_table(&[region]).unwrap();
        let (kick, call) = (EventFd::new(0).unwrap(), EventFd::new(0).unwrap());
        Self {
            front_end,
            memory,
            kick,
            call,
            served,
        }
    }

    fn start_queue(&mut self, base: u16) {
        let addresses = VringConfigData {
            queue_max_size: SIZE,
            queue_size: SIZE,
            flags: 0,
            desc_table_addr: FRONT_END + 0x1000,
            avail_ring_addr: FRONT_END + 0x2000,
            used_ring_addr: FRONT_END + 0x3000,
            log_addr: None,
        };
        self.front_end.set_vring_num(0, SIZE).unwrap();
        self.front_end.set_vring_base(0, base).unwrap();
        self.front_end.set_vring_addr(0, &addresses).unwrap();
        self.front_end.set_vring_kick(0, &self.kick).unwrap();
        self.front_end.set_vring_call(0, &self.call).unwrap();
        self.front_end.set_vring_enable(0, true).unwrap();
    }
}

#[test]
fn a_queue_works_on_memory_that_the_front_end_shares() {
    let mut machine = Machine::new(Rng::new());
    let mut driver = Driver::new(&machine.memory, SIZE);
    machine.start_queue(0);
    let head = driver.offer(&[Buffer::writable(64)]);
    machine.kick.write(1).unwrap();
    assert_eq!(machine.called(), 1);
    assert_eq!(driver.used(), [(head, 64)]);
    assert_ne!(driver.buffer(head, 64), [0; 64]);
    assert_eq!(machine.served.interrupts(), 1);
}

#[test]
fn a_stopped_queue_tells_its_position_and_goes_on_from_there() {
    let mut machine = Machine::new(Rng::new());
    let mut driver = Driver::new(&machine.memory, SIZE);
    machine.start_queue(0);
    driver.offer(&[Buffer::writable(8)]);
    machine.kick.write(1).unwrap();
    machine.called();
    assert_eq!(machine.front_end.get_vring_base(0).unwrap(), 1);
    driver.offer(&[Buffer::writable(8)]);
    machine.start_queue(1);
    machine.called();
    assert_eq!(driver.used().len(), 2);
}

#[test]
fn configuration_is_read_through_the_front_end() {
    let disk = tempfile::tempfile().unwrap();
    disk.set_len(1 << 20).unwrap();
    let disk = devices::blk::FileDisk::new(disk, false).unwrap();
    let mut machine = Machine::new(devices::blk::Blk::new("data", Arc::new(disk)));
    let (_, bytes) = machine
        .front_end
        .get_config(0, 8, VhostUserConfigFlags::WRITABLE, &[0; 8])
        .unwrap();
    assert_eq!(bytes, (2048u64).to_le_bytes());
}

#[test]
fn memory_that_is_shorter_than_announced_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let _served = serve("test", Box::new(Rng::new()), ours).unwrap();
    let mut front_end = Frontend::from_stream(theirs, 1);
    let features = front_end.get_features().unwrap();
    front_end.set_features(features).unwrap();
    let protocol = front_end.get_protocol_features().unwrap();
    front_end.set_protocol_features(protocol).unwrap();
    front_end.set_hdr_flags(vhost::vhost_user::message::VhostUserHeaderFlag::NEED_REPLY);
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let region = VhostUserMemoryRegionInfo {
        guest_phys_addr: 0,
        memory_size: 8192,
        userspace_addr: FRONT_END,
        mmap_offset: 0,
        mmap_handle: std::os::fd::AsRawFd::as_raw_fd(&file.as_fd()),
    };
    assert!(front_end.set_mem_table(&[region]).is_err());
}

#[test]
fn a_front_end_that_goes_away_stops_the_device() {
    let machine = Machine::new(Rng::new());
    drop(machine.front_end);
    let mut served = machine.served;
    served.thread.take().unwrap().join().unwrap();
}
