//! Linux.

#[path = "linux/event.rs"]
pub(crate) mod event;
