//! The aarch64 machine: its address map, and the kernel's boot protocol (Documentation/arch/arm64/booting.rst).
//!
//! ```text
//! 0x0800_0000  GIC distributor          0x0a00_0000  virtio devices, one page each
//! 0x0810_0000  GIC redistributors       0x4000_0000  memory: kernel, initramfs, device tree
//! 0x0900_0000  serial port, clock
//! ```

mod fdt;

use hypervisor::Start;
use vm_memory::{Bytes, GuestAddress};

use crate::boot::{BootInput, VirtioSlot, no_room};
use crate::bus::virtio_mmio::WINDOW;
use crate::loader::image;
use crate::machine::StartError;

pub(crate) const GIC_DISTRIBUTOR: u64 = 0x0800_0000;
pub(crate) const GIC_REDISTRIBUTORS: u64 = 0x0810_0000;
/// A 16550: address, interrupt, size.
pub(crate) const SERIAL: (u64, u32, u64) = (0x0900_0000, 64, 0x1000);
/// A PL031: address and size.
pub(crate) const CLOCK: (u64, u64) = (0x0901_0000, 0x1000);
pub(crate) const MAX_CPUS: u32 = 32;

const DEVICES: u64 = 0x0a00_0000;
const MAX_DEVICES: u32 = 32;
const MEMORY: u64 = 0x4000_0000;
/// A device tree has this alignment and at most this size.
const TREE_ALIGNMENT: u64 = 2 << 20;

/// The one region of guest memory.
pub(crate) fn memory_ranges(bytes: u64) -> Vec<(u64, u64)> {
    vec![(MEMORY, bytes)]
}

/// The place of virtio device number `index`.
pub(crate) fn virtio_slot(index: u32) -> Option<VirtioSlot> {
    (index < MAX_DEVICES).then(|| VirtioSlot {
        address: DEVICES + u64::from(index) * WINDOW,
        line: index,
    })
}

/// Loads everything and says how the first vCPU begins.
pub(crate) fn prepare(input: &BootInput<'_>) -> Result<Start, StartError> {
    let (kernel, initramfs, initramfs_size) = input.load(|memory, file| image::load(memory, file, MEMORY))?;
    let end = initramfs.checked_add(initramfs_size).ok_or_else(no_room)?;
    let tree = fdt::build(input, initramfs, end).map_err(|error| {
        StartError::new(format!("the machine cannot be described to its kernel: {error}"))
    })?;
    let address = end.checked_next_multiple_of(TREE_ALIGNMENT).ok_or_else(no_room)?;
    input
        .memory
        .write_slice(&tree, GuestAddress(address))
        .map_err(|_| no_room())?;
    Ok(Start::El1 {
        entry: kernel.entry,
        argument: address,
    })
}
