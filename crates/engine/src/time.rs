//! Times as Docker writes them: RFC 3339 in UTC with nanoseconds, and rough durations for people.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What Docker writes for a time that never was.
pub(crate) const ZERO: &str = "0001-01-01T00:00:00Z";

/// The host's clock in nanoseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

/// As Go's `RFC3339Nano`: the fraction without trailing zeros, or none.
pub fn rfc3339(unix_ns: i64) -> String {
    let (seconds, fraction) = parts(unix_ns);
    if fraction == 0 {
        return format!("{seconds}Z");
    }
    let digits = format!("{fraction:09}");
    format!("{seconds}.{}Z", digits.trim_end_matches('0'))
}

/// With all nine digits, as in `docker logs --timestamps`.
pub(crate) fn rfc3339_fixed(unix_ns: i64) -> String {
    let (seconds, fraction) = parts(unix_ns);
    format!("{seconds}.{fraction:09}Z")
}

/// A time, or Docker's zero time for none.
pub(crate) fn rfc3339_or_zero(unix_ns: Option<i64>) -> String {
    unix_ns.map_or_else(|| ZERO.to_owned(), rfc3339)
}

/// Nanoseconds since the Unix epoch of an RFC 3339 text.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}

/// Nanoseconds of a duration as Go writes it: `1h30m`, `10m`, `1.5s`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let nanoseconds = match unit {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * nanoseconds;
        rest = tail;
    }
    (!text.is_empty() && total < i64::MAX as f64).then_some(total as i64)
}

/// A time of day, or the day for another day than `now`, as ps(1) tells when a process started.
pub(crate) fn clock(unix_ns: i64, now: i64) -> String {
    let at = |unix_ns: i64| {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    let (time, now) = (at(unix_ns), at(now));
    if time.date() == now.date() {
        return format!("{:02}:{:02}", time.hour(), time.minute());
    }
    let month = time.month().to_string();
    format!("{}{:02}", month.get(..3).unwrap_or(&month), time.day())
}

/// A duration of whole seconds, or milliseconds below one, as Go writes it: `1m30s`, `500ms`.
pub(crate) fn go_duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", duration.as_millis());
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn parts(unix_ns: i64) -> (String, u32) {
    let time =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let seconds = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    (seconds, time.nanosecond())
}

/// How long ago, in the one unit that a person would say (docker/go-units, `HumanDuration`).
pub(crate) fn human_duration(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let minutes = seconds / 60;
    // Hours are the one unit that is rounded and not cut.
    let hours = seconds.saturating_add(1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "Less than a second")]
    #[case(1, "1 second")]
    #[case(59, "59 seconds")]
    #[case(60, "About a minute")]
    #[case(119, "About a minute")]
    #[case(120, "2 minutes")]
    #[case(3599, "59 minutes")]
    #[case(3600, "About an hour")]
    #[case(5399, "About an hour")]
    #[case(5400, "2 hours")]
    #[case(47 * 3600, "47 hours")]
    #[case(48 * 3600, "2 days")]
    #[case(13 * 86400, "13 days")]
    #[case(14 * 86400, "2 weeks")]
    #[case(59 * 86400, "8 weeks")]
    #[case(60 * 86400, "2 months")]
    #[case(729 * 86400, "24 months")]
    #[case(730 * 86400, "2 years")]
    fn a_duration_is_told_in_dockers_words(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(human_duration(seconds * 1_000_000_000), text);
    }

    #[test]
    fn fractions_lose_their_zeros_or_keep_all_nine_digits() {
        let time = 1_700_000_000_120_000_000;
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339_fixed(time), "2023-11-14T22:13:20.120000000Z");
        assert_eq!(rfc3339(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
    }

    #[rstest]
    #[case("1h30m", Some(5_400_000_000_000))]
    #[case("1.5s", Some(1_500_000_000))]
    #[case("10", None)]
    #[case("", None)]
    #[case("h", None)]
    fn a_go_duration_is_read(#[case] text: &str, #[case] nanoseconds: Option<i64>) {
        assert_eq!(parse_duration(text), nanoseconds);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_no_crash(text in "\\PC{0,20}") {
            let _ = (parse_duration(&text), parse_rfc3339(&text));
        }

        #[test]
        fn a_time_survives_its_text(time in 0i64..i64::MAX / 2) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(time)), Some(time));
            prop_assert_eq!(parse_rfc3339(&rfc3339_fixed(time)), Some(time));
        }

        #[test]
        fn every_duration_has_a_text(duration in any::<i64>()) {
            prop_assert!(!human_duration(duration).is_empty());
        }
    }
}
