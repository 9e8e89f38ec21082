//! Windows: no backend yet.

use crate::{Hypervisor, OpenError};

pub use std::os::windows::io::BorrowedHandle as EventRef;

pub(super) fn open() -> Result<Box<dyn Hypervisor>, OpenError> {
    Err(OpenError::NoBackend)
}
