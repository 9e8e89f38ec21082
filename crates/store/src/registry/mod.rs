//! A client of registries (OCI distribution-spec 1.1, "Pull": `GET /v2/<name>/manifests/<reference>` and
//! `…/blobs/<digest>`, and "Push"; authentication after Docker's token specification).
//!
//! ```text
//! account   whether a registry knows a person, and what it finds by a word
//! client    which hosts to ask in which order, errors in Docker's words
//! session   one host: requests and redirects
//! challenge WWW-Authenticate, and authorization, which answers it
//! failure   what is no success, and whether to try again
//! tags      what a repository has
//! blob      downloads that go on where they broke off
//! upload    blobs and manifests that a registry is given
//! content   what is sent with a request, and whether it gets anywhere
//! processor what cryptography needs of it
//! hosts     whose names are looked up first
//! proxy     which proxies the environment names
//! transport TLS, proxies, time-outs
//! ```

mod account;
mod authorization;
mod blob;
mod challenge;
mod client;
mod content;
mod failure;
mod hosts;
mod processor;
mod proxy;
mod session;
mod tags;
mod transport;
mod upload;

pub use account::Found;
pub(crate) use account::{log_in, search};
pub(crate) use blob::{Download, Step};
pub(crate) use client::Client;
pub(crate) use content::Content;
pub use hosts::hosts;
pub use processor::check_tls;
pub use proxy::Proxies;
pub(crate) use session::{Access, Session};
pub(crate) use transport::Transport;
