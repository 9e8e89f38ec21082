//! The Docker Engine API over the engine: what the `docker` command, compose, test frameworks and `sampan`
//! itself speak.
//!
//! A request passes through three steps: `version` takes the API version off its path, `routes` is the table of
//! endpoints, and a handler turns the engine's answer into Docker's JSON. A connection that carries a terminal
//! or a process's streams is taken over from HTTP (`hijack`, `websocket`); [`frame`] is how two output streams share it.
//!
//! Every request is bounded: its head by [`limits`], a JSON body too; archives are streamed.

mod body;
mod create;
mod error;
pub mod frame;
mod hijack;
mod limits;
mod progress;
mod query;
mod raw;
mod routes;
mod server;
mod strict;
mod sys;
mod time;
mod unread;
mod version;
mod websocket;

pub use progress::bar;
pub use server::{ServeError, Server};
pub use sys::{ListenError, Listener};
pub use version::ApiVersion;
