//! The journey of a command: what was done for it, step by step as it really happened, with times. `sampan explain`
//! tells it.
//!
//! ```text
//! client ── traceparent ──> API ── Trace ──> engine, store, machine: each measures its own steps
//!        <── GET /sampan/traces/ID ──────────┘
//! ```
//!
//! A client asks for a record by the header `traceparent` of its requests (W3C Trace Context, section 3.2). The trace
//! belongs to the task that serves the request, and to those that it hands its work to with [`carry`]. A task without a
//! trace measures nothing: [`begin`] then costs a look at one thread-local variable.

mod current;
mod parent;
mod recent;
mod step;
mod trace;

pub use current::{Begun, begin, carry, current, happened, lasted, measured, now_ns, within};
pub use parent::TraceId;
pub use recent::Recent;
pub use step::Step;
pub use trace::{Record, Trace};
