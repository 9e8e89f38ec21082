//! Kernel and initramfs into guest memory.
//!
//! `linux-loader` compiles its ELF half for x86 and its Image half for aarch64 alone; both halves here are plain
//! functions over guest memory, tested on every host.

pub(crate) mod elf;
pub(crate) mod image;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// The transfer unit from file to guest memory, in bytes: it stays in the second-level cache.
const CHUNK: usize = 256 * 1024;

/// Where a kernel came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoadedKernel {
    /// The address of its first instruction.
    pub(crate) entry: u64,
    /// The first byte behind it and the memory that it clears for itself.
    pub(crate) end: u64,
}

/// Why a kernel or an initramfs cannot be loaded. The caller adds the file's name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is no kernel that this machine can boot: {0}")]
    Format(&'static str),
    #[error("it does not fit into the machine's memory; give the machine more")]
    NoRoom,
}

/// Whether the whole range is memory of the guest.
fn fits(memory: &GuestMemoryMmap, address: u64, length: u64) -> bool {
    usize::try_from(length).is_ok_and(|length| memory.check_range(GuestAddress(address), length))
}

/// Copies `length` bytes at `offset` of `file` to guest memory at `address`.
fn copy(
    memory: &GuestMemoryMmap,
    file: &mut (impl Read + Seek),
    offset: u64,
    length: u64,
    address: u64,
) -> Result<(), LoadError> {
    file.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    while done < length {
        let want = usize::try_from(length - done).unwrap_or(CHUNK).min(CHUNK);
        let chunk = buffer.get_mut(..want).ok_or(LoadError::NoRoom)?;
        file.read_exact(chunk)?;
        let to = address.checked_add(done).ok_or(LoadError::NoRoom)?;
        memory
            .write_slice(chunk, GuestAddress(to))
            .map_err(|_| LoadError::NoRoom)?;
        done += want as u64;
    }
    Ok(())
}

/// Copies the initramfs to the first page boundary from `address` on and returns where that is and how long.
pub(crate) fn load_initramfs(
    memory: &GuestMemoryMmap,
    path: &Path,
    address: u64,
) -> Result<(u64, u64), LoadError> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let address = address.checked_next_multiple_of(4096).ok_or(LoadError::NoRoom)?;
    copy(memory, &mut file, 0, length, address)?;
    Ok((address, length))
}
