//! KVM.

use crate::kvm::Kvm;
use crate::{Hypervisor, OpenError};

pub use std::os::fd::BorrowedFd as EventRef;

pub(super) fn open() -> Result<Box<dyn Hypervisor>, OpenError> {
    Ok(Box::new(Kvm::open()?))
}
