//! macOS: no backend yet.

use crate::{Hypervisor, OpenError};

pub use std::os::fd::BorrowedFd as EventRef;

pub(super) fn open() -> Result<Box<dyn Hypervisor>, OpenError> {
    Err(OpenError::NoBackend)
}
