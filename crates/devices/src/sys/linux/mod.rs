//! Linux.

pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod poll;
pub(crate) use super::unix::socket;
