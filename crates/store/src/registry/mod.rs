//! A client of registries (OCI distribution-spec 1.1, `GET /v2/<name>/manifests/<reference>` and
//! `…/blobs/<digest>`; authentication after Docker's token specification).
//!
//! ```text
//! client    which hosts to ask in which order, errors in Docker's words
//! session   one host: requests, authentication, redirects, retries
//! challenge WWW-Authenticate
//! blob      downloads that go on where they broke off
//! processor what cryptography needs of it
//! transport TLS, proxies, time-outs
//! ```

mod blob;
mod challenge;
mod client;
mod processor;
mod session;
mod transport;

pub(crate) use blob::{Download, Step};
pub(crate) use client::Client;
pub use processor::check_tls;
pub(crate) use session::Session;
pub(crate) use transport::Transport;
