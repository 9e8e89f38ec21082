//! Naming a trace in the header `traceparent` (W3C Trace Context, section 3.2):
//! `00-<32 hex digits: trace>-<16 hex digits: span>-<2 hex digits: flags>`, flag 1 meaning "recorded".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of a trace; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceId(u128);

impl TraceId {
    /// `None` for 0, which the specification reserves.
    pub fn new(number: u128) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// The header with which a client asks for the record of this trace.
    pub fn traceparent(self) -> String {
        // The client has one span, the command; its number is of no further use.
        format!("00-{self}-{:016x}-01", 1)
    }

    /// The trace that a header asks to be recorded. What is malformed asks for nothing, as the specification says.
    pub fn recorded(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let later = version != "00";
        if hex(version, 2)? == 0xff || (!later && parts.next().is_some()) {
            return None;
        }
        if hex(span, 16)? == 0 || hex(flags, 2)? & 1 == 0 {
            return None;
        }
        Self::new(hex(trace, 32)?)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

/// The text is no 32 lower-case hexadecimal digits, or all of them are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedTraceId;

impl FromStr for TraceId {
    type Err = MalformedTraceId;

    fn from_str(text: &str) -> Result<Self, MalformedTraceId> {
        hex(text, 32).and_then(Self::new).ok_or(MalformedTraceId)
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specifications_own_example_is_read() {
        let trace = TraceId::recorded("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn what_is_not_to_be_recorded_or_malformed_asks_for_nothing() {
        for header in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceId::recorded(header), None, "{header}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let header = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceId::recorded(header).is_some());
    }

    proptest! {
        #[test]
        fn a_trace_finds_itself_in_its_header_and_in_its_text(number in 1u128..) {
            let trace = TraceId::new(number).unwrap();
            prop_assert_eq!(TraceId::recorded(&trace.traceparent()), Some(trace));
            prop_assert_eq!(trace.to_string().parse(), Ok(trace));
        }

        #[test]
        fn no_header_is_too_strange(header in ".{0,80}") {
            let _ = TraceId::recorded(&header);
        }
    }
}
