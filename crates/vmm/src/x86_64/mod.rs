//! The x86_64 machine: its address map, and the 64-bit boot protocol (the kernel's
//! Documentation/arch/x86/boot.rst and zero-page.rst).
//!
//! ```text
//! 0x0000_7000  boot parameters          0x0002_0000  command line
//! 0x0000_8000  random seed              0x0009_fc00  MP table (CPUs and interrupts)
//! 0x0000_9000  page tables, GDT         0x0010_0000  kernel (at its own address), initramfs
//! 0xd000_0000  virtio devices, one page each; nothing else up to 4 GiB but the interrupt controllers
//! ```
//! Memory that does not fit below 0xd000_0000 goes on at 4 GiB.

mod boot_params;
mod mp_table;

use hypervisor::{Start, x86_64};
use vm_memory::{Bytes, GuestAddress};

use crate::boot::{BootInput, VirtioSlot, no_room};
use crate::bus::virtio_mmio::WINDOW;
use crate::command_line;
use crate::loader::elf;
use crate::machine::StartError;

const BOOT_PARAMS: u64 = 0x7000;
const SEED: u64 = 0x8000;
const TABLES: u64 = 0x9000;
const COMMAND_LINE: u64 = 0x2_0000;
/// The last KiB of conventional memory, where the kernel looks for an MP table.
const MP_TABLE: u64 = 0x9_fc00;
const MP_TABLE_END: u64 = 0xa_0000;
const HIGH_MEMORY: u64 = 0x10_0000;
const DEVICES: u64 = 0xd000_0000;
const FOUR_GIB: u64 = 1 << 32;

/// Pins of the IOAPIC; below are the legacy devices.
const FIRST_LINE: u32 = 5;
const LINES: u32 = 24;

/// The first serial port, its interrupt, and its size.
pub(crate) const SERIAL: (u64, u32, u64) = (0x3f8, 4, 8);
/// The most virtual CPUs that the MP table holds.
pub(crate) const MAX_CPUS: u32 = 32;

/// Regions of guest memory that make up `bytes`.
pub(crate) fn memory_ranges(bytes: u64) -> Vec<(u64, u64)> {
    let low = bytes.min(DEVICES);
    let mut ranges = vec![(0, low)];
    if bytes > low {
        ranges.push((FOUR_GIB, bytes - low));
    }
    ranges
}

/// The place of virtio device number `index`; `None` when there are no more interrupt lines.
pub(crate) fn virtio_slot(index: u32) -> Option<VirtioSlot> {
    let line = FIRST_LINE.checked_add(index).filter(|line| *line < LINES)?;
    Some(VirtioSlot {
        address: DEVICES + u64::from(index) * WINDOW,
        line,
    })
}

/// The word of the command line that tells the kernel of a device.
pub(crate) fn announce(slot: &VirtioSlot) -> String {
    format!("virtio_mmio.device=4K@{:#x}:{}", slot.address, slot.line)
}

/// Loads everything and says how the first vCPU begins.
pub(crate) fn prepare(input: &BootInput<'_>) -> Result<Start, StartError> {
    let memory = input.memory;
    let (kernel, initramfs, initramfs_size) =
        input.load(|memory, file| elf::load(memory, file, HIGH_MEMORY))?;

    let mut line = input.command_line.as_bytes().to_vec();
    line.truncate(command_line::MAX_LENGTH);
    line.push(0);
    memory
        .write_slice(&line, GuestAddress(COMMAND_LINE))
        .map_err(|_| no_room())?;

    let table = mp_table::build(MP_TABLE, input.cpus, LINES);
    memory
        .write_slice(&table, GuestAddress(MP_TABLE))
        .map_err(|_| no_room())?;
    let seed = boot_params::seed_data(input.seed);
    memory
        .write_slice(&seed, GuestAddress(SEED))
        .map_err(|_| no_room())?;
    let page = boot_params::build(&boot_params::Parameters {
        command_line: COMMAND_LINE,
        command_line_size: command_line::MAX_LENGTH,
        initramfs,
        initramfs_size,
        setup_data: SEED,
        memory_map: &memory_map(memory),
    })
    .ok_or_else(no_room)?;
    memory
        .write_slice(&page, GuestAddress(BOOT_PARAMS))
        .map_err(|_| no_room())?;

    x86_64::write_long_mode_tables(memory, TABLES).map_err(|error| StartError::new(error.to_string()))?;
    Ok(Start::LongMode {
        entry: kernel.entry,
        argument: BOOT_PARAMS,
        tables: TABLES,
    })
}

/// The e820 map: address, size, whether it is usable.
fn memory_map(memory: &vm_memory::GuestMemoryMmap) -> Vec<(u64, u64, bool)> {
    use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};
    let mut map = vec![(0, MP_TABLE, true), (MP_TABLE, MP_TABLE_END - MP_TABLE, false)];
    for region in memory.iter() {
        let begin = region.start_addr().raw_value().max(HIGH_MEMORY);
        let end = region.start_addr().raw_value().saturating_add(region.len());
        map.push((begin, end.saturating_sub(begin), true));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_leaves_the_devices_their_place() {
        assert_eq!(memory_ranges(512 << 20), [(0, 512 << 20)]);
        assert_eq!(
            memory_ranges(8 << 30),
            [(0, DEVICES), (FOUR_GIB, (8 << 30) - DEVICES)]
        );
    }

    #[test]
    fn every_device_has_a_line_of_its_own() {
        assert_eq!(
            virtio_slot(0),
            Some(VirtioSlot {
                address: 0xd000_0000,
                line: 5
            })
        );
        assert_eq!(virtio_slot(18).unwrap().line, 23);
        assert_eq!(virtio_slot(19), None);
        assert_eq!(
            announce(&virtio_slot(1).unwrap()),
            "virtio_mmio.device=4K@0xd0001000:6"
        );
    }

    #[test]
    fn the_table_of_the_largest_machine_fits_its_kibibyte() {
        let table = mp_table::build(MP_TABLE, MAX_CPUS, LINES);
        assert!(table.len() as u64 <= MP_TABLE_END - MP_TABLE, "{}", table.len());
    }
}
