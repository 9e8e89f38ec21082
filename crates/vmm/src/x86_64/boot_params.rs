//! The boot parameters, or "zero page": one page that the kernel finds through RSI (the kernel's
//! Documentation/arch/x86/zero-page.rst; the offsets are those of `struct boot_params`).

const PAGE: usize = 4096;
const E820_ENTRIES: usize = 0x1e8;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY_SIZE: usize = 20;
const E820_MAX: usize = 128;
const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;
/// `setup_data` types (Documentation/arch/x86/boot.rst, "setup_data").
const SETUP_RNG_SEED: u32 = 9;

pub(super) struct Parameters<'a> {
    pub(super) command_line: u64,
    /// Without the final zero.
    pub(super) command_line_size: usize,
    pub(super) initramfs: u64,
    pub(super) initramfs_size: u64,
    /// The head of the list of `setup_data`.
    pub(super) setup_data: u64,
    /// Address, size, whether it is usable.
    pub(super) memory_map: &'a [(u64, u64, bool)],
}

/// `None` when an address or a size does not fit its field.
pub(super) fn build(parameters: &Parameters<'_>) -> Option<Vec<u8>> {
    let mut page = Page(vec![0; PAGE]);
    page.put(0x1fe, &0xaa55u16.to_le_bytes())?;
    page.put(0x202, b"HdrS")?;
    // Version 2.15 of the protocol; "unknown" boot loader; loaded high.
    page.put(0x206, &0x020fu16.to_le_bytes())?;
    page.put(0x210, &[0xff, 0x01])?;
    page.put(0x218, &u32::try_from(parameters.initramfs).ok()?.to_le_bytes())?;
    page.put(
        0x21c,
        &u32::try_from(parameters.initramfs_size).ok()?.to_le_bytes(),
    )?;
    page.put(0x228, &u32::try_from(parameters.command_line).ok()?.to_le_bytes())?;
    page.put(
        0x238,
        &u32::try_from(parameters.command_line_size).ok()?.to_le_bytes(),
    )?;
    page.put(0x250, &parameters.setup_data.to_le_bytes())?;

    let map = parameters
        .memory_map
        .get(..parameters.memory_map.len().min(E820_MAX))?;
    page.put(E820_ENTRIES, &[u8::try_from(map.len()).ok()?])?;
    for (number, (address, size, usable)) in map.iter().enumerate() {
        let kind = if *usable { E820_RAM } else { E820_RESERVED };
        let at = E820_TABLE + number * E820_ENTRY_SIZE;
        page.put(at, &address.to_le_bytes())?;
        page.put(at + 8, &size.to_le_bytes())?;
        page.put(at + 16, &kind.to_le_bytes())?;
    }
    Some(page.0)
}

/// One `struct setup_data`, the last of its list, that carries randomness. The kernel wipes it.
pub(super) fn seed_data(seed: &[u8]) -> Vec<u8> {
    let mut data = 0u64.to_le_bytes().to_vec();
    data.extend(SETUP_RNG_SEED.to_le_bytes());
    data.extend((seed.len() as u32).to_le_bytes());
    data.extend(seed);
    data
}

struct Page(Vec<u8>);

impl Page {
    fn put(&mut self, at: usize, bytes: &[u8]) -> Option<()> {
        self.0
            .get_mut(at..at.checked_add(bytes.len())?)?
            .copy_from_slice(bytes);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(memory_map: &[(u64, u64, bool)]) -> Parameters<'_> {
        Parameters {
            command_line: 0x2_0000,
            command_line_size: 2047,
            initramfs: 0x200_0000,
            initramfs_size: 1234,
            setup_data: 0x8000,
            memory_map,
        }
    }

    #[test]
    fn the_kernel_finds_its_initramfs_and_memory_map_at_their_offsets() {
        let page = build(&parameters(&[(0, 0x9_fc00, true), (0x9_fc00, 0x400, false)])).unwrap();
        assert_eq!(page.len(), PAGE);
        assert_eq!(page[0x218..0x220], [0, 0, 0, 2, 0xd2, 4, 0, 0]);
        assert_eq!(page[0x1e8], 2);
        assert_eq!(
            page[0x2d0 + 8..0x2d0 + 20],
            [0, 0xfc, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(page[0x2d0 + 36], 2);
    }

    #[test]
    fn an_initramfs_beyond_four_gibibytes_is_refused() {
        let mut parameters = parameters(&[]);
        parameters.initramfs = 1 << 32;
        assert!(build(&parameters).is_none());
    }

    #[test]
    fn a_seed_is_a_list_of_one() {
        let data = seed_data(&[7; 32]);
        assert_eq!(data[..16], [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 32, 0, 0, 0]);
        assert_eq!(data.len(), 48);
    }
}
