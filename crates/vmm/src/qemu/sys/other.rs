//! QEMU shares guest memory with another process on Linux; elsewhere not in the versions that are common.

use crate::machine::{Machine, Parts, StartError};

/// Says why there is no emulated machine.
pub(crate) fn start(_parts: Parts) -> Result<Box<dyn Machine>, StartError> {
    Err(StartError::new(
        "emulated machines need a Linux host: use the computer's own hypervisor (`--accel auto`)",
    ))
}
