//! macOS.

pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) use super::portable as poll;
pub(crate) use super::unix::socket;
