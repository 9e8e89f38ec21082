//! `Image`: the aarch64 kernel's own format (the kernel's Documentation/arch/arm64/booting.rst, section 4).

use std::io::{Read, Seek, SeekFrom};

use vm_memory::GuestMemoryMmap;

use super::{LoadError, LoadedKernel, copy};

const HEADER_SIZE: usize = 64;
const MAGIC: [u8; 4] = *b"ARM\x64";

/// Loads `file` for a `base` that is a multiple of 2 MiB; the header says how far behind it the image lies.
pub(crate) fn load(
    memory: &GuestMemoryMmap,
    file: &mut (impl Read + Seek),
    base: u64,
) -> Result<LoadedKernel, LoadError> {
    let mut header = [0; HEADER_SIZE];
    file.rewind()?;
    file.read_exact(&mut header)
        .map_err(|_| LoadError::Format("it is too short"))?;
    let long = |offset: usize| {
        let bytes = header.get(offset..).and_then(|tail| tail.first_chunk());
        bytes
            .copied()
            .map(u64::from_le_bytes)
            .ok_or(LoadError::Format("it is too short"))
    };
    if header.get(56..60) != Some(&MAGIC) {
        return Err(LoadError::Format(
            "it is not an arm64 Image (an uncompressed one)",
        ));
    }
    let (text_offset, image_size, flags) = (long(8)?, long(16)?, long(24)?);
    if image_size == 0 || flags & 1 != 0 {
        return Err(LoadError::Format("it is older than Linux 3.17, or big-endian"));
    }
    let entry = base.checked_add(text_offset).ok_or(LoadError::NoRoom)?;
    let end = entry.checked_add(image_size).ok_or(LoadError::NoRoom)?;
    let length = file.seek(SeekFrom::End(0))?;
    // The image's size counts the memory that the kernel clears behind what is in the file.
    if length > image_size {
        return Err(LoadError::Format("it is longer than its header says"));
    }
    if !super::fits(memory, entry, image_size) {
        return Err(LoadError::NoRoom);
    }
    copy(memory, file, 0, length, entry)?;
    Ok(LoadedKernel { entry, end })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    const BASE: u64 = 0x4000_0000;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(BASE), 4 << 20)]).unwrap()
    }

    fn image(text_offset: u64, image_size: u64) -> Vec<u8> {
        let mut file = vec![0x11; 4096];
        file[8..16].copy_from_slice(&text_offset.to_le_bytes());
        file[16..24].copy_from_slice(&image_size.to_le_bytes());
        file[24..32].copy_from_slice(&0xau64.to_le_bytes());
        file[56..60].copy_from_slice(&MAGIC);
        file
    }

    #[test]
    fn an_image_lies_at_its_offset_and_ends_behind_its_zeroes() {
        let memory = memory();
        let loaded = load(&memory, &mut Cursor::new(image(0x8000, 0x10_0000)), BASE).unwrap();
        assert_eq!(
            loaded,
            LoadedKernel {
                entry: BASE + 0x8000,
                end: BASE + 0x10_8000
            }
        );
        assert_eq!(
            memory.read_obj::<u8>(GuestAddress(BASE + 0x8000 + 4095)).unwrap(),
            0x11
        );
    }

    #[test]
    fn an_image_that_wants_more_memory_than_there_is_gets_refused() {
        let result = load(&memory(), &mut Cursor::new(image(0, 5 << 20)), BASE);
        assert!(matches!(result, Err(LoadError::NoRoom)));
    }

    #[test]
    fn a_file_longer_than_its_header_says_is_refused() {
        let result = load(&memory(), &mut Cursor::new(image(0, 4095)), BASE);
        assert!(matches!(result, Err(LoadError::Format(_))));
    }

    proptest! {
        #[test]
        fn a_broken_image_is_an_error_and_nothing_worse(
            changes in prop::collection::vec((0..HEADER_SIZE, any::<u8>()), 1..12),
            length in 0usize..4096,
        ) {
            let mut bytes = image(0, 0x10_0000);
            for (at, value) in changes {
                bytes[at] = value;
            }
            bytes.truncate(length);
            let _ = load(&memory(), &mut Cursor::new(bytes), BASE);
        }
    }
}
