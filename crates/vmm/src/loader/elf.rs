//! `vmlinux`: an ELF executable (System V ABI, "Object Files"), entered by the 64-bit boot protocol.

use std::io::{Read, Seek, SeekFrom};

use vm_memory::GuestMemoryMmap;

use super::{LoadError, LoadedKernel, copy};

const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
/// vmlinux has about six.
const MAX_PROGRAM_HEADERS: u16 = 64;
const PT_LOAD: u32 = 1;
const EM_X86_64: u16 = 62;

/// Loads the segments of `file` to their physical addresses, which begin at `lowest` or above.
pub(crate) fn load(
    memory: &GuestMemoryMmap,
    file: &mut (impl Read + Seek),
    lowest: u64,
) -> Result<LoadedKernel, LoadError> {
    let header = Header::read(file)?;
    let mut end = 0;
    for number in 0..header.segments {
        let segment = header.segment(file, number)?;
        if segment.kind != PT_LOAD || segment.memory_size == 0 {
            continue;
        }
        let behind = segment
            .address
            .checked_add(segment.memory_size)
            .ok_or(LoadError::NoRoom)?;
        if segment.address < lowest || segment.file_size > segment.memory_size {
            return Err(LoadError::Format("a segment of it lies where none may"));
        }
        if !super::fits(memory, segment.address, segment.memory_size) {
            return Err(LoadError::NoRoom);
        }
        // Memory is zero already, so what the segment wants cleared needs no touch.
        copy(memory, file, segment.offset, segment.file_size, segment.address)?;
        end = end.max(behind);
    }
    if !(lowest..end).contains(&header.entry) {
        return Err(LoadError::Format("its entry lies outside of it"));
    }
    Ok(LoadedKernel {
        entry: header.entry,
        end,
    })
}

struct Header {
    entry: u64,
    table: u64,
    segments: u16,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

impl Header {
    fn read(file: &mut (impl Read + Seek)) -> Result<Self, LoadError> {
        let mut bytes = [0; HEADER_SIZE];
        file.rewind()?;
        file.read_exact(&mut bytes)
            .map_err(|_| LoadError::Format("it is too short"))?;
        if field::<4>(&bytes, 0)? != *b"\x7fELF" {
            return Err(LoadError::Format(
                "it is not an ELF file (an uncompressed vmlinux is)",
            ));
        }
        let (class, order) = (field::<1>(&bytes, 4)?, field::<1>(&bytes, 5)?);
        if class != [2] || order != [1] || half(&bytes, 18)? != EM_X86_64 {
            return Err(LoadError::Format("it is an ELF file for another processor"));
        }
        let segments = half(&bytes, 56)?;
        if usize::from(half(&bytes, 54)?) != PROGRAM_HEADER_SIZE || segments > MAX_PROGRAM_HEADERS {
            return Err(LoadError::Format("its program headers are not those of a kernel"));
        }
        Ok(Self {
            entry: long(&bytes, 24)?,
            table: long(&bytes, 32)?,
            segments,
        })
    }

    fn segment(&self, file: &mut (impl Read + Seek), number: u16) -> Result<Segment, LoadError> {
        let offset = u64::from(number) * PROGRAM_HEADER_SIZE as u64;
        let offset = self
            .table
            .checked_add(offset)
            .ok_or(LoadError::Format("its program headers lie nowhere"))?;
        let mut bytes = [0; PROGRAM_HEADER_SIZE];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        Ok(Segment {
            kind: u32::from_le_bytes(field(&bytes, 0)?),
            offset: long(&bytes, 8)?,
            address: long(&bytes, 24)?,
            file_size: long(&bytes, 32)?,
            memory_size: long(&bytes, 40)?,
        })
    }
}

fn field<const SIZE: usize>(bytes: &[u8], offset: usize) -> Result<[u8; SIZE], LoadError> {
    let tail = bytes.get(offset..).and_then(|tail| tail.first_chunk());
    tail.copied().ok_or(LoadError::Format("it is too short"))
}

fn half(bytes: &[u8], offset: usize) -> Result<u16, LoadError> {
    field(bytes, offset).map(u16::from_le_bytes)
}

fn long(bytes: &[u8], offset: usize) -> Result<u64, LoadError> {
    field(bytes, offset).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    const LOWEST: u64 = 0x10_0000;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap()
    }

    /// A kernel of one segment of 16 bytes.
    fn kernel(address: u64, memory_size: u64, entry: u64) -> Vec<u8> {
        let mut file = vec![0; HEADER_SIZE + PROGRAM_HEADER_SIZE];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(18, &EM_X86_64.to_le_bytes());
        put(24, &entry.to_le_bytes());
        put(32, &(HEADER_SIZE as u64).to_le_bytes());
        put(54, &(PROGRAM_HEADER_SIZE as u16).to_le_bytes());
        put(56, &1u16.to_le_bytes());
        let segment = HEADER_SIZE;
        put(segment, &PT_LOAD.to_le_bytes());
        put(
            segment + 8,
            &((HEADER_SIZE + PROGRAM_HEADER_SIZE) as u64).to_le_bytes(),
        );
        put(segment + 24, &address.to_le_bytes());
        put(segment + 32, &16u64.to_le_bytes());
        put(segment + 40, &memory_size.to_le_bytes());
        file.extend(b"sixteen bytes...");
        file
    }

    #[test]
    fn a_kernel_lies_at_its_own_address_and_ends_behind_its_zeroes() {
        let memory = memory();
        let mut file = Cursor::new(kernel(0x20_0000, 0x5000, 0x20_0004));
        let loaded = load(&memory, &mut file, LOWEST).unwrap();
        assert_eq!(
            loaded,
            LoadedKernel {
                entry: 0x20_0004,
                end: 0x20_5000
            }
        );
        let mut found = [0; 16];
        memory.read_slice(&mut found, GuestAddress(0x20_0000)).unwrap();
        assert_eq!(&found, b"sixteen bytes...");
    }

    #[test]
    fn a_kernel_that_reaches_past_memory_is_refused_before_it_runs() {
        let mut file = Cursor::new(kernel(0x20_0000, 16 << 20, 0x20_0000));
        assert!(matches!(
            load(&memory(), &mut file, LOWEST),
            Err(LoadError::NoRoom)
        ));
    }

    #[test]
    fn a_segment_may_not_overwrite_the_boot_parameters() {
        let mut file = Cursor::new(kernel(0x7000, 0x1000, 0x7000));
        assert!(matches!(
            load(&memory(), &mut file, LOWEST),
            Err(LoadError::Format(_))
        ));
    }

    #[test]
    fn an_entry_outside_of_the_kernel_is_refused() {
        let mut file = Cursor::new(kernel(0x20_0000, 0x1000, 0x30_0000));
        assert!(matches!(
            load(&memory(), &mut file, LOWEST),
            Err(LoadError::Format(_))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_error_and_nothing_worse(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = load(&memory(), &mut Cursor::new(bytes), LOWEST);
        }

        #[test]
        fn a_broken_kernel_is_an_error_and_nothing_worse(
            changes in prop::collection::vec((0..HEADER_SIZE + PROGRAM_HEADER_SIZE, any::<u8>()), 1..6),
        ) {
            let mut bytes = kernel(0x20_0000, 0x5000, 0x20_0004);
            for (at, value) in changes {
                bytes[at] = value;
            }
            let _ = load(&memory(), &mut Cursor::new(bytes), LOWEST);
        }
    }
}
