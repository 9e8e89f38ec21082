//! Windows.

pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod socket;
