//! One entry of a log, whatever its file's format.

use super::attributes::Attributes;
use super::{frames, json};
use crate::stream::Channel;
use crate::time;

/// The longest entry in a file, in bytes. What is longer was not written by us.
pub(super) const LONGEST: usize = 1 << 20;

/// How entries lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Docker's `json-file`.
    Json,
    /// Our frames, for Docker's `local`.
    Local,
}

/// When an entry was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// RFC 3339, read only where it is needed.
    Text(String),
    /// Nanoseconds since the Unix epoch.
    UnixNs(i64),
}

/// One entry as read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) text: Vec<u8>,
    pub(super) channel: Channel,
    pub(super) stamp: Stamp,
    pub(super) attributes: Attributes,
}

impl Entry {
    /// The entry in one piece of a file; `None` for one that a crash or a full disk cut off.
    pub(super) fn parse(format: Format, piece: &[u8]) -> Option<Self> {
        match format {
            Format::Json => json::parse(piece),
            Format::Local => frames::parse(piece),
        }
    }

    /// Nanoseconds since the Unix epoch, 0 where the file has no readable time.
    pub(super) fn unix_ns(&self) -> i64 {
        match &self.stamp {
            Stamp::Text(text) => time::parse_rfc3339(text).unwrap_or_default(),
            Stamp::UnixNs(unix_ns) => *unix_ns,
        }
    }
}

/// Writes entries of one run.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) format: Format,
    /// The attributes as JSON, where there are any.
    attributes: Option<Box<serde_json::value::RawValue>>,
}

impl Encoder {
    pub(super) fn new(format: Format, attributes: &Attributes) -> Self {
        let attributes = (!attributes.is_empty())
            .then(|| serde_json::value::to_raw_value(attributes).ok())
            .flatten();
        Self { format, attributes }
    }

    /// Appends one entry.
    pub(super) fn encode(&self, into: &mut Vec<u8>, text: &[u8], channel: Channel, unix_ns: i64) {
        let attributes = self.attributes.as_deref();
        match self.format {
            Format::Json => json::encode(into, text, channel, unix_ns, attributes),
            Format::Local => frames::encode(into, text, channel, unix_ns, attributes),
        }
    }
}
