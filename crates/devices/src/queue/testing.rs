//! A driver's side of a queue, to test devices with.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test support: it fails loudly"
)]

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::Queue;

/// Bytes of guest memory that [`memory`] makes.
pub const MEMORY_SIZE: usize = 0x10_0000;
const DESCRIPTORS: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
/// Each queue has a part of memory of its own for its areas and its buffers.
const QUEUE_SPAN: u64 = 0x4_0000;
const BUFFERS: u64 = 0x4000;

/// Guest memory from address 0 on.
pub fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_SIZE)]).expect("anonymous memory")
}

/// One buffer of a chain.
pub enum Buffer {
    Readable(Vec<u8>),
    Writable(usize),
    /// Any address and length: address, length, writable.
    Raw(u64, u32, bool),
}

impl Buffer {
    pub fn readable(bytes: &[u8]) -> Self {
        Self::Readable(bytes.to_vec())
    }

    pub fn writable(length: usize) -> Self {
        Self::Writable(length)
    }
}

/// Drives one queue in memory made by [`memory`].
pub struct Driver {
    memory: GuestMemoryMmap,
    base: u64,
    size: u16,
    start: u16,
    offered: u16,
    collected: u16,
    next_descriptor: u16,
    next_buffer: u64,
    /// The address of each descriptor's buffer.
    addresses: Vec<u64>,
}

impl Driver {
    /// A queue of `size` descriptors, at most 64.
    pub fn new(memory: &GuestMemoryMmap, size: u16) -> Self {
        Self::starting_at(memory, size, 0)
    }

    /// The same, in part `part` (0 to 3) of memory.
    pub fn in_part(memory: &GuestMemoryMmap, size: u16, part: u64) -> Self {
        let mut driver = Self::new(memory, size);
        driver.base = part * QUEUE_SPAN;
        driver.next_buffer = driver.base + BUFFERS;
        driver
    }

    /// A queue whose indices are at `start`.
    pub fn starting_at(memory: &GuestMemoryMmap, size: u16, start: u16) -> Self {
        let driver = Self {
            memory: memory.clone(),
            base: 0,
            size,
            start,
            offered: start,
            collected: start,
            next_descriptor: 0,
            next_buffer: BUFFERS,
            addresses: vec![0; usize::from(size)],
        };
        driver.set_available_index(start);
        driver.put(USED + 2, start);
        driver
    }

    /// What the transport would hand over.
    pub fn queue(&self) -> Queue {
        let mut queue = Queue::new(self.size);
        queue.set_desc_table_address(Some((self.base + DESCRIPTORS) as u32), None);
        queue.set_avail_ring_address(Some((self.base + AVAILABLE) as u32), None);
        queue.set_used_ring_address(Some((self.base + USED) as u32), None);
        queue.set_next_avail(self.start);
        queue.set_next_used(self.start);
        queue.set_ready(true);
        queue
    }

    /// Makes a chain available, and returns its head.
    pub fn offer(&mut self, buffers: &[Buffer]) -> u16 {
        let head = self.next_descriptor;
        for (position, buffer) in buffers.iter().enumerate() {
            let (address, length, write) = match buffer {
                Buffer::Readable(bytes) => {
                    let address = self.allocate(bytes.len());
                    self.memory
                        .write_slice(bytes, GuestAddress(address))
                        .expect("inside memory");
                    (address, bytes.len() as u32, false)
                }
                Buffer::Writable(length) => (self.allocate(*length), *length as u32, true),
                Buffer::Raw(address, length, write) => (*address, *length, *write),
            };
            let last = position + 1 == buffers.len();
            let next = (self.next_descriptor + 1) % self.size;
            let flags = u16::from(!last) | u16::from(write) << 1;
            self.descriptor(self.next_descriptor, address, length, flags, next);
            if let Some(slot) = self.addresses.get_mut(usize::from(self.next_descriptor)) {
                *slot = address;
            }
            self.next_descriptor = next;
        }
        self.make_available(head);
        head
    }

    /// Makes a chain available whose one descriptor names itself as the next.
    pub fn offer_loop(&mut self) {
        self.descriptor(0, self.base + BUFFERS, 4, 1, 0);
        self.make_available(0);
    }

    /// The chains that came back since the last call: head and length.
    pub fn used(&mut self) -> Vec<(u16, u32)> {
        let index: u16 = self
            .memory
            .read_obj(GuestAddress(self.base + USED + 2))
            .expect("inside memory");
        let mut chains = Vec::new();
        while self.collected != index {
            let slot = self.base + USED + 4 + 8 * u64::from(self.collected % self.size);
            let entry: [u32; 2] = self.memory.read_obj(GuestAddress(slot)).expect("inside memory");
            chains.push((entry[0] as u16, entry[1]));
            self.collected = self.collected.wrapping_add(1);
        }
        chains
    }

    /// The bytes in the buffer of a descriptor.
    pub fn buffer(&self, descriptor: u16, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let address = self.addresses[usize::from(descriptor % self.size)];
        self.memory
            .read_slice(&mut bytes, GuestAddress(address))
            .expect("inside memory");
        bytes
    }

    pub fn want_interrupt_after(&self, index: u16) {
        self.put(AVAILABLE + 4 + 2 * u64::from(self.size), index);
    }

    pub fn set_available_index(&self, index: u16) {
        self.put(AVAILABLE + 2, index);
    }

    /// Fills the descriptor table and the heads on offer with `content`, repeated.
    pub fn scribble(&self, content: &[u8]) {
        let table = usize::from(self.size) * 16;
        let bytes: Vec<u8> = content
            .iter()
            .copied()
            .cycle()
            .take(table + usize::from(self.size) * 2)
            .collect();
        let (descriptors, heads) = bytes.split_at(table.min(bytes.len()));
        self.memory
            .write_slice(descriptors, GuestAddress(self.base + DESCRIPTORS))
            .expect("inside memory");
        self.memory
            .write_slice(heads, GuestAddress(self.base + AVAILABLE + 4))
            .expect("inside memory");
    }

    fn make_available(&mut self, head: u16) {
        self.put(AVAILABLE + 4 + 2 * u64::from(self.offered % self.size), head);
        self.offered = self.offered.wrapping_add(1);
        self.set_available_index(self.offered);
    }

    fn allocate(&mut self, length: usize) -> u64 {
        let end = self.base + QUEUE_SPAN;
        if self.next_buffer + length as u64 > end {
            self.next_buffer = self.base + BUFFERS;
        }
        let address = self.next_buffer;
        self.next_buffer += length as u64;
        address
    }

    fn descriptor(&self, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let entry = u128::from(address)
            | u128::from(length) << 64
            | u128::from(flags) << 96
            | u128::from(next) << 112;
        let slot = self.base + DESCRIPTORS + 16 * u64::from(index);
        self.memory
            .write_slice(&entry.to_le_bytes(), GuestAddress(slot))
            .expect("inside memory");
    }

    fn put(&self, offset: u64, value: u16) {
        self.memory
            .write_obj(value, GuestAddress(self.base + offset))
            .expect("inside memory");
    }
}
