//! What Linux and macOS have in common.

pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod socket;
mod vector;
