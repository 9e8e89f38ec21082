//! A registry for tests, on loopback and in the test's own process, that misbehaves on request.
//!
//! It serves the OCI distribution specification for images made in memory, for image layouts on disk and for what it is
//! given, records what it is asked, and has one switch for each way in which a real registry can fail its clients.

mod content;
mod gate;
mod layout;
mod server;
mod uploads;

pub use content::{Image, gzip, sha256};
pub use gate::Held;
pub use server::{Auth, Faults, Registry, Request};
