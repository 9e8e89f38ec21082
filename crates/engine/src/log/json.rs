//! Docker's `json-file` format (moby `daemon/logger/jsonfilelog/jsonlog`): one JSON object a line,
//! `{"log":"text\n","stream":"stdout","attrs":{"tag":"x"},"time":"2024-01-02T03:04:05.678901234Z"}`, without `attrs`
//! where there are none. Output that is not UTF-8 is written with replacement characters.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::attributes::Attributes;
use super::entry::{Entry, Stamp};
use crate::stream::Channel;
use crate::time;

#[derive(Serialize)]
struct Written<'a> {
    log: Cow<'a, str>,
    stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attrs: Option<&'a RawValue>,
    time: &'a str,
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    attrs: Option<Attributes>,
    #[serde(default)]
    time: String,
}

pub(super) fn encode(
    into: &mut Vec<u8>,
    text: &[u8],
    channel: Channel,
    unix_ns: i64,
    attrs: Option<&RawValue>,
) {
    let written = Written {
        log: String::from_utf8_lossy(text),
        stream: channel.name(),
        attrs,
        time: &time::rfc3339(unix_ns),
    };
    if serde_json::to_writer(&mut *into, &written).is_ok() {
        into.push(b'\n');
    }
}

pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    let read: Read = serde_json::from_slice(line).ok()?;
    Some(Entry {
        text: read.log.into_bytes(),
        channel: if read.stream == "stderr" {
            Channel::Stderr
        } else {
            Channel::Stdout
        },
        stamp: Stamp::Text(read.time),
        attributes: read.attrs.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::{Encoder, Format};
    use super::*;

    #[test]
    fn an_entry_is_written_as_docker_writes_it() {
        let attributes = [("tag".to_owned(), "boat".to_owned())].into();
        let mut line = Vec::new();
        let time = 1_700_000_000_120_000_000;
        Encoder::new(Format::Json, &attributes).encode(&mut line, b"hi\n", Channel::Stderr, time);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"log\":\"hi\\n\",\"stream\":\"stderr\",\"attrs\":{\"tag\":\"boat\"},\
             \"time\":\"2023-11-14T22:13:20.12Z\"}\n"
        );
        let mut line = Vec::new();
        Encoder::new(Format::Json, &Attributes::new()).encode(&mut line, b"hi\n", Channel::Stdout, time);
        assert!(!String::from_utf8(line).unwrap().contains("attrs"));
    }

    proptest! {
        #[test]
        fn an_entry_comes_back(
            text in "\\PC{0,40}\n?",
            stderr in any::<bool>(),
            unix_ns in 0i64..i64::MAX / 2,
            attributes in proptest::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..4),
        ) {
            let channel = if stderr { Channel::Stderr } else { Channel::Stdout };
            let mut line = Vec::new();
            Encoder::new(Format::Json, &attributes).encode(&mut line, text.as_bytes(), channel, unix_ns);
            let entry = parse(&line).unwrap();
            prop_assert_eq!(entry.unix_ns(), unix_ns);
            prop_assert_eq!((entry.text, entry.channel, entry.attributes), (text.into_bytes(), channel, attributes));
        }

        #[test]
        fn arbitrary_bytes_are_no_crash(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&bytes);
        }
    }
}
