//! A registry for tests, on loopback and in the test's own process, that misbehaves on request.
//!
//! It serves the read side of the OCI distribution specification for images made in memory and for image layouts on
//! disk, records what it is asked, and has one switch for each way in which a real registry can fail its clients.

mod content;
mod gate;
mod layout;
mod server;

pub use content::{Image, gzip, sha256};
pub use gate::Held;
pub use server::{Auth, Faults, Registry, Request};
