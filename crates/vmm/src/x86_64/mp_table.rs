//! CPUs and interrupt lines for a kernel without ACPI (Intel MultiProcessor Specification 1.4, chapter 4).

const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
const LOCAL_APIC_VERSION: u8 = 0x14;
const IO_APIC_VERSION: u8 = 0x11;
const ISA_BUS: u8 = 0;
const ALL_LOCAL_APICS: u8 = 0xff;

/// Interrupt types (table 4-10).
const INT: u8 = 0;
const NMI: u8 = 1;
const EXT_INT: u8 = 3;
/// Active high, edge-triggered.
const EDGE: u16 = 0b0101;

/// The floating pointer and the table behind it, for `address`. CPU numbers are APIC IDs, line numbers are pins.
pub(super) fn build(address: u64, cpus: u32, lines: u32) -> Vec<u8> {
    const POINTER_SIZE: u64 = 16;
    let mut entries: Vec<u8> = Vec::new();
    let mut count = 0u16;
    let mut entry = |bytes: &[u8]| {
        entries.extend(bytes);
        count += 1;
    };
    let cpus = cpus.min(0xfe) as u8;
    for cpu in 0..cpus {
        let enabled_and_boot = if cpu == 0 { 0b11 } else { 0b01 };
        let mut processor = [0; 20];
        let head = [0, cpu, LOCAL_APIC_VERSION, enabled_and_boot];
        for (to, from) in processor.iter_mut().zip(head) {
            *to = from;
        }
        entry(&processor);
    }
    entry(&[1, ISA_BUS, b'I', b'S', b'A', b' ', b' ', b' ']);
    let [a, b, c, d] = IO_APIC.to_le_bytes();
    entry(&[2, cpus, IO_APIC_VERSION, 1, a, b, c, d]);
    let [low, high] = EDGE.to_le_bytes();
    for line in 0..lines.min(0xff) as u8 {
        entry(&[3, INT, low, high, ISA_BUS, line, cpus, line]);
    }
    entry(&[4, EXT_INT, 0, 0, ISA_BUS, 0, 0, 0]);
    entry(&[4, NMI, 0, 0, ISA_BUS, 0, ALL_LOCAL_APICS, 1]);

    let mut table = b"PCMP".to_vec();
    table.extend((44 + entries.len() as u16).to_le_bytes());
    table.extend([4, 0]);
    table.extend(b"SAMPAN  ");
    table.extend(b"MACHINE     ");
    table.extend([0; 6]);
    table.extend(count.to_le_bytes());
    table.extend(LOCAL_APIC.to_le_bytes());
    table.extend([0; 4]);
    table.extend(entries);
    seal(&mut table, 7);

    let mut pointer = b"_MP_".to_vec();
    pointer.extend(((address + POINTER_SIZE) as u32).to_le_bytes());
    // Its length in 16 bytes, the specification's revision, the checksum, no default configuration.
    pointer.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    seal(&mut pointer, 10);
    pointer.extend(table);
    pointer
}

/// Sets the byte at `at` so that all bytes add up to zero.
fn seal(bytes: &mut [u8], at: usize) {
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if let Some(checksum) = bytes.get_mut(at) {
        *checksum = checksum.wrapping_sub(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_and_table_add_up_to_zero() {
        let table = build(0x9_fc00, 4, 24);
        let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(sum(&table[..16]), 0);
        assert_eq!(sum(&table[16..]), 0);
        assert_eq!(table[4..8], 0x9_fc10u32.to_le_bytes());
    }

    #[test]
    fn the_table_says_its_own_length_and_count() {
        let table = build(0, 3, 24);
        let length = u16::from_le_bytes([table[20], table[21]]);
        assert_eq!(usize::from(length), table.len() - 16);
        let count = u16::from_le_bytes([table[16 + 34], table[16 + 35]]);
        assert_eq!(count, 3 + 1 + 1 + 24 + 2);
    }
}
