//! `sampan` and engines that are not its own service: at a port, behind TLS, behind `ssh`, and by the name of a
//! context. The engine is a stand-in, and so is `ssh`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected fails"
)]

mod authority;
mod contexts;
mod engine;
mod person;
mod ssh;
mod tcp;
mod tls;
