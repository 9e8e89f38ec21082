//! Windows.

#[path = "windows/event.rs"]
pub(crate) mod event;
