//! Durations and sizes for people (go-units).

use std::time::Duration;

/// A rough duration: `About a minute`, `3 weeks`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Hours are rounded to the nearest.
    let hours = seconds.saturating_add(1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A size in decimal units with three significant digits: `13.3kB`, `101MB`.
pub(crate) fn size(bytes: i64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

/// A size in decimal units with four significant digits, as Docker writes sums: `2.328MB`.
pub(crate) fn sum(bytes: i64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 4)
}

/// A size in binary units with four significant digits: `1.939GiB`.
pub(crate) fn binary_size(bytes: i64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

fn scaled(bytes: i64, base: f64, names: &[&str], digits: usize) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let mut value = bytes as f64;
    let mut names = names.iter();
    let mut name = names.next().copied().unwrap_or_default();
    while value.abs() >= base {
        let Some(larger) = names.next() else { break };
        name = larger;
        value /= base;
    }
    let whole = format!("{:.0}", value.abs().trunc()).len();
    let number = format!("{value:.*}", digits.saturating_sub(whole));
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number}{name}")
}

#[cfg(test)]
mod tests {
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
    #[case(5400, "2 hours")]
    #[case(47 * 3600, "47 hours")]
    #[case(48 * 3600, "2 days")]
    #[case(14 * 86400, "2 weeks")]
    #[case(60 * 86400, "2 months")]
    #[case(730 * 86400, "2 years")]
    fn durations_read_as_dockers(#[case] seconds: u64, #[case] expected: &str) {
        assert_eq!(duration(Duration::from_secs(seconds)), expected);
    }

    #[rstest]
    #[case(0, "0B")]
    #[case(999, "999B")]
    #[case(13_256, "13.3kB")]
    #[case(1_000_000, "1MB")]
    #[case(116_500_000, "116MB")]
    #[case(7_826_000, "7.83MB")]
    fn sizes_have_three_digits(#[case] bytes: i64, #[case] expected: &str) {
        assert_eq!(size(bytes), expected);
    }

    #[test]
    fn memory_is_told_in_binary_units() {
        assert_eq!(binary_size(2_082_000_000), "1.939GiB");
    }
}
