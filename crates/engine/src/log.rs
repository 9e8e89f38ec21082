//! Container logs, kept by one of Docker's log drivers (moby `daemon/logger`).
//!
//! - `json-file`: one JSON object a line (`json`). Without options the file grows without a bound.
//! - `local`: a compact format of sampan's own (`frames`), with bounds by default.
//! - `none`: nothing is kept, and there is nothing to read.
//!
//! Lines longer than 16 KiB are split; a piece without a newline at its end is continued by the next. An entry goes
//! to the page cache at once, on the task that read the output: nothing lies between in which entries could wait, so
//! Docker's `mode` and `max-buffer-size` are accepted and change nothing. Readers that follow are woken by the writer.
//!
//! A log is a sequence of segments, each a file: the one that is written to, and the rotated `.1` (the newest), `.2`
//! and so on, packed by gzip where asked (`segments`). Readers know a segment by its sequence number, which stays when
//! its file is renamed.

mod attributes;
mod compress;
mod cutter;
mod details;
mod entry;
mod file;
mod frames;
mod json;
mod options;
mod reader;
mod segments;
mod splitter;
mod tail;

pub(crate) use attributes::Subject;
pub(crate) use file::{LogFile, Position};
pub(crate) use options::{LogSettings, settle};
pub(crate) use reader::{read, replay};
pub(crate) use splitter::LineSplitter;

/// The drivers that keep something, as `docker info` tells them.
pub(crate) const DRIVERS: [&str; 2] = ["json-file", "local"];
