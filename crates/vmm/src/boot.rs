//! What both architectures need to boot a kernel directly, without firmware.

use std::fs::File;
use std::io;
use std::path::Path;

use hypervisor::InterruptController;
use vm_memory::GuestMemoryMmap;

use crate::loader::{self, LoadError, LoadedKernel};
use crate::machine::StartError;

/// Everything that the kernel gets or is told.
pub(crate) struct BootInput<'a> {
    pub(crate) memory: &'a GuestMemoryMmap,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) command_line: &'a str,
    pub(crate) cpus: u32,
    pub(crate) controller: InterruptController,
    /// Where the virtio devices are.
    pub(crate) virtio: &'a [VirtioSlot],
    /// Randomness for the kernel's pool, so that it needs not wait for any.
    pub(crate) seed: &'a [u8; 64],
}

/// The place of a virtio device on its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtioSlot {
    /// The base of its registers.
    pub(crate) address: u64,
    /// Its interrupt line, as [`hypervisor::Vm::interrupt_line`] counts.
    pub(crate) line: u32,
}

impl BootInput<'_> {
    /// Loads the kernel with `load`, and behind it the initramfs. Returns the kernel and the initramfs's address
    /// and length.
    pub(crate) fn load(
        &self,
        load: impl FnOnce(&GuestMemoryMmap, &mut File) -> Result<LoadedKernel, LoadError>,
    ) -> Result<(LoadedKernel, u64, u64), StartError> {
        let kernel = File::open(self.kernel)
            .map_err(LoadError::from)
            .and_then(|mut file| load(self.memory, &mut file))
            .map_err(|error| cannot_load("kernel", self.kernel, &error))?;
        let (address, length) = loader::load_initramfs(self.memory, self.initramfs, kernel.end)
            .map_err(|error| cannot_load("initramfs", self.initramfs, &error))?;
        Ok((kernel, address, length))
    }
}

fn cannot_load(what: &str, path: &Path, error: &LoadError) -> StartError {
    let path = path.display();
    StartError::new(match error {
        LoadError::Io(error) if error.kind() == io::ErrorKind::NotFound => format!(
            "there is no guest {what} at {path}: install sampan's `share` folder beside its program, point \
             SAMPAN_SHARE to it, or in a checkout run `cargo xtask {}`",
            if what == "kernel" { "kernel" } else { "init" }
        ),
        error => format!("the guest {what} {path} cannot be loaded: {error}"),
    })
}

/// For tables that lie where memory is known to be.
pub(crate) fn no_room() -> StartError {
    StartError::new("the machine's memory is too small for its kernel; give it more")
}
