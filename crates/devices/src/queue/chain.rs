//! From the head of a descriptor chain to the guest memory that it describes.
//!
//! A descriptor is 16 bytes: address, length, flags, next (virtio 1.3, section 2.7.5). One with the INDIRECT flag
//! stands for a table of descriptors elsewhere in guest memory (section 2.7.5.3). A chain has its readable buffers
//! before its writable ones.

use vm_memory::{
    ByteValued, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, Le16, Le32, Le64, VolatileSlice,
};

/// Guest memory that a descriptor points to.
pub(crate) type RingSlice<'m> = VolatileSlice<'m, ()>;

/// A longer chain is malformed. Linux never makes one longer than the queue.
const MAX_DESCRIPTORS: u16 = 1024;

const FLAG_NEXT: u16 = 1;
const FLAG_WRITE: u16 = 2;
const FLAG_INDIRECT: u16 = 4;
pub(super) const DESCRIPTOR_SIZE: usize = 16;

/// A descriptor as it lies in guest memory.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Descriptor {
    pub(super) address: Le64,
    pub(super) length: Le32,
    pub(super) flags: Le16,
    pub(super) next: Le16,
}

#[allow(unsafe_code, reason = "a plain structure of integers without padding")]
// SAFETY: 8 + 4 + 2 + 2 bytes of little-endian integers leave no padding, and every bit pattern is valid.
unsafe impl ByteValued for Descriptor {}

/// One chain that the driver made available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// What identifies the chain in the used ring.
    pub(crate) head: u16,
    /// Bytes and slices that the device may read.
    pub(crate) readable: usize,
    pub(crate) readable_slices: usize,
    /// Bytes and slices that the device may write.
    pub(crate) writable: usize,
    pub(crate) writable_slices: usize,
    /// Something about the chain is wrong: a buffer outside guest memory, a loop, a nested table, readable after
    /// writable. Its good buffers are still listed, so that a status can be written; its content must not be used.
    pub(crate) malformed: bool,
}

/// Walks the chain at `head`, and appends its buffers to `readable` and `writable`.
pub(super) fn walk<'m>(
    memory: &'m GuestMemoryMmap,
    table: RingSlice<'m>,
    head: u16,
    readable: &mut Vec<RingSlice<'m>>,
    writable: &mut Vec<RingSlice<'m>>,
) -> Chain {
    let mut chain = Chain {
        head,
        readable: 0,
        readable_slices: 0,
        writable: 0,
        writable_slices: 0,
        malformed: false,
    };
    let (mut table, mut index, mut indirect) = (table, head, false);
    for _ in 0..MAX_DESCRIPTORS {
        let Some(descriptor) = descriptor(table, index) else {
            chain.malformed = true;
            return chain;
        };
        let flags = descriptor.flags.to_native();
        if flags & FLAG_INDIRECT != 0 {
            let length = descriptor.length.to_native() as usize;
            let inner = memory.get_slice(GuestAddress(descriptor.address.to_native()), length);
            match inner {
                // A table is the last descriptor of its chain and holds no table itself.
                Ok(inner) if !indirect && flags & FLAG_NEXT == 0 => {
                    (table, index, indirect) = (inner, 0, true);
                    continue;
                }
                _ => {
                    chain.malformed = true;
                    return chain;
                }
            }
        }
        chain.append(memory, &descriptor, readable, writable);
        if flags & FLAG_NEXT == 0 {
            return chain;
        }
        index = descriptor.next.to_native();
    }
    chain.malformed = true;
    chain
}

fn descriptor(table: RingSlice<'_>, index: u16) -> Option<Descriptor> {
    table.read_obj(usize::from(index) * DESCRIPTOR_SIZE).ok()
}

impl Chain {
    fn append<'m>(
        &mut self,
        memory: &'m GuestMemoryMmap,
        descriptor: &Descriptor,
        readable: &mut Vec<RingSlice<'m>>,
        writable: &mut Vec<RingSlice<'m>>,
    ) {
        let address = GuestAddress(descriptor.address.to_native());
        let length = descriptor.length.to_native() as usize;
        let write = descriptor.flags.to_native() & FLAG_WRITE != 0;
        let (list, bytes, slices) = if write {
            (writable, &mut self.writable, &mut self.writable_slices)
        } else {
            // Section 2.7.4.2: the driver places writable buffers after readable ones.
            self.malformed |= self.writable_slices > 0;
            (readable, &mut self.readable, &mut self.readable_slices)
        };
        // A chain of more than 2^32 bytes breaks section 2.7.5.2; a device's used length could not tell it.
        let Some(total) = bytes
            .checked_add(length)
            .filter(|total| *total <= u32::MAX as usize)
        else {
            self.malformed = true;
            return;
        };
        for slice in GuestMemoryBackend::get_slices(memory, address, length) {
            match slice {
                Ok(slice) => {
                    list.push(slice);
                    *slices += 1;
                }
                Err(_) => {
                    self.malformed = true;
                    return;
                }
            }
        }
        *bytes = total;
    }
}

/// Copies from guest memory to `buffer`; returns how many bytes there were, up to its length.
pub(crate) fn copy_out(slices: &[RingSlice<'_>], buffer: &mut [u8]) -> usize {
    let mut done = 0;
    for slice in slices {
        let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        done += slice.copy_to(rest);
    }
    done
}

/// Copies `bytes` to guest memory; returns how many fitted.
pub(crate) fn copy_in(slices: &[RingSlice<'_>], bytes: &[u8]) -> usize {
    let mut done = 0;
    for slice in slices {
        let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let count = rest.len().min(slice.len());
        slice.copy_from(rest.get(..count).unwrap_or_default());
        done += count;
    }
    done
}

/// Appends to `out` the memory of `slices` without its first `count` bytes and no more than `limit` bytes of it.
pub(crate) fn skip<'m>(slices: &[RingSlice<'m>], count: usize, limit: usize, out: &mut Vec<RingSlice<'m>>) {
    let (mut skip, mut left) = (count, limit);
    for slice in slices {
        if skip >= slice.len() {
            skip -= slice.len();
            continue;
        }
        let take = left.min(slice.len() - skip);
        if take == 0 {
            return;
        }
        if let Ok(part) = slice.subslice(skip, take) {
            out.push(part);
        }
        left -= take;
        skip = 0;
    }
}
