//! What a vCPU needs in guest memory to begin in 64-bit mode (Intel SDM volume 3, 4.5 and 3.4.5).

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::Error;

/// How much [`write_long_mode_tables`] writes, in bytes.
pub const LONG_MODE_TABLES_SIZE: u64 = 0x4000;

const PAGE: u64 = 0x1000;
const PRESENT_WRITABLE: u64 = 0b11;
const LARGE_PAGE: u64 = 1 << 7;

/// The descriptors that the Linux boot protocol asks for: flat 64-bit code at selector 0x10, flat data at 0x18.
pub(crate) const GDT: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// Writes page tables that map the first GiB to itself, and a GDT, into the 16 KiB at the page `address`.
pub fn write_long_mode_tables(memory: &GuestMemoryMmap, address: u64) -> Result<(), Error> {
    let outside = || Error::Setup(format!("no guest memory for page tables at {address:#x}"));
    let page = |number: u64| address.checked_add(number * PAGE).ok_or_else(outside);
    let write = |at: u64, entry: u64| {
        memory
            .write_obj(entry.to_le(), GuestAddress(at))
            .map_err(|_| outside())
    };
    write(page(0)?, page(1)? | PRESENT_WRITABLE)?;
    write(page(1)?, page(2)? | PRESENT_WRITABLE)?;
    for number in 0..512u64 {
        write(
            page(2)? + number * 8,
            number << 21 | PRESENT_WRITABLE | LARGE_PAGE,
        )?;
    }
    for (number, descriptor) in (0u64..).zip(GDT) {
        write(gdt_address(address) + number * 8, descriptor)?;
    }
    Ok(())
}

/// Where the GDT is in tables at `address`.
pub(crate) const fn gdt_address(address: u64) -> u64 {
    address.saturating_add(3 * PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_map_a_gibibyte_to_itself() {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        write_long_mode_tables(&memory, 0x8000).unwrap();
        let read = |at: u64| memory.read_obj::<u64>(GuestAddress(at)).unwrap();
        let directory = read(read(0x8000) & !0xfff) & !0xfff;
        for number in [0, 1, 511] {
            assert_eq!(read(directory + number * 8) & !0xfff, number << 21);
        }
    }

    #[test]
    fn tables_outside_of_memory_are_refused() {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        assert!(write_long_mode_tables(&memory, 0xe000).is_err());
        assert!(write_long_mode_tables(&memory, u64::MAX - 0xfff).is_err());
    }
}
