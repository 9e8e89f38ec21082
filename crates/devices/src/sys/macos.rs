//! macOS.

#[path = "macos/event.rs"]
pub(crate) mod event;
