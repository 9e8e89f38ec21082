//! Container logs in Docker's json-file format (moby `daemon/logger/jsonfilelog`): one JSON object a line,
//! `{"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.678901234Z"}`.
//!
//! Lines longer than 16 KiB are split; a piece without a newline at its end is continued by the next. Readers
//! that follow are woken by the writer.

mod entry;
mod file;
mod reader;

pub(crate) use entry::LineSplitter;
pub(crate) use file::LogFile;
pub(crate) use reader::{read, replay};
