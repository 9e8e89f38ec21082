//! Points in time as parameters: seconds since the Unix epoch with up to nine digits after the point.

use crate::error::{ApiError, Result};

/// Nanoseconds since the Unix epoch. `None` for an absent or zero parameter, which both mean "no bound".
pub(crate) fn nanoseconds(name: &str, text: Option<&str>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let parsed = parse(text).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        ApiError::bad_request(format!(
            "invalid value for \"{name}\": failed to parse value as time: {text:?}"
        ))
    })?;
    Ok(Some(parsed).filter(|nanoseconds| *nanoseconds != 0))
}

fn parse(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1700000000", Some(1_700_000_000_000_000_000))]
    #[case("1700000000.5", Some(1_700_000_000_500_000_000))]
    #[case("1700000000.000000001", Some(1_700_000_000_000_000_001))]
    #[case("0", None)]
    fn a_time_is_seconds_and_a_fraction(#[case] text: &str, #[case] expected: Option<i64>) {
        assert_eq!(nanoseconds("since", Some(text)).unwrap(), expected);
    }

    #[rstest]
    #[case("yesterday")]
    #[case("1.0000000001")]
    #[case("99999999999999")]
    fn what_is_no_time_is_refused(#[case] text: &str) {
        assert!(nanoseconds("since", Some(text)).is_err());
    }
}
