//! The container engine: containers, images and machines of one user, with Docker's habits and texts.
//!
//! The engine knows no HTTP: [`Engine`] is a set of async functions over plain data, and a server (crate
//! `api`) speaks Docker's protocol over it. What happens where:
//!
//! - `state` keeps every container's record in a database; a change is durable before it is acknowledged.
//! - `machine` boots a Linux guest on demand, one for each architecture, in a `sampan vmm` child process, and
//!   speaks the `protocol` with its PID 1.
//! - `container` is the life of containers: create, start, stop, wait, remove, list, inspect, exec.
//! - `stream` and `log` carry output: log file first, then each attached client.

mod acceleration;
mod config;
mod container;
mod disk_usage;
mod doctor;
mod engine;
mod error;
mod events;
mod filters;
mod images;
mod lock;
mod log;
mod machine;
mod machines;
mod names;
mod network;
mod record;
mod registry;
mod room;
mod sizes;
mod state;
mod stream;
mod sys;
mod system;
mod time;
mod types;
mod volumes;

pub use config::{DEFAULT_DISK, EngineConfig, LogDefaults, SMALLEST_DISK};
pub use container::FileStream;
pub use disk_usage::{DiskUsage, DiskUsageObjects};
pub use doctor::examine;
pub use engine::Engine;
pub use error::{EngineError, Kind, Result};
pub use filters::Filters;
pub use images::CommitOptions;
pub use protocol::{Architecture, PathStat};
pub use store::{
    Credentials, Loaded, Platform, Proxies, PullEvent, PushEvent, Reference, StoreError, check_tls,
};
pub use stream::{Attached, Channel, Chunk, Input, InputClosed, drain};
pub use system::VERSION;
pub use time::rfc3339;
pub use types::{
    AttachOptions, Finding, Logs, LogsOptions, MachineDiagnosis, MachineReport, MachineState, Severity,
    TerminalSize, WaitCondition,
};
pub use vmm::Acceleration;
pub use vmm::control::Accelerator;
