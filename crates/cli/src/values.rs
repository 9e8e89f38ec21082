//! Values of flags as Docker writes them: sizes, numbers of CPUs, limits, durations, points in time.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard_stubs::models::{DeviceMapping, ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice};
use jiff::Timestamp;

type Result<T> = std::result::Result<T, String>;

/// The longest file of variables or labels, in bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// A size in bytes: `512`, `64m`, `1.5g`, `10kb`, `1GiB` (go-units `RAMInBytes`: powers of 1024).
pub(crate) fn bytes(text: &str) -> Result<i64> {
    let number_end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let number: f64 = number.parse().map_err(|_| format!("invalid size: '{text}'"))?;
    let suffix = suffix.trim().to_ascii_lowercase();
    let shift = match suffix.trim_end_matches('b').trim_end_matches('i') {
        "" if suffix.is_empty() || suffix == "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    #[allow(clippy::cast_precision_loss, reason = "a power of two")]
    let size = number * (1u64 << shift) as f64;
    #[allow(clippy::cast_precision_loss, reason = "a bound")]
    if !(0.0..i64::MAX as f64).contains(&size) {
        return Err(format!("invalid size: '{text}'"));
    }
    #[allow(clippy::cast_possible_truncation, reason = "its range was checked")]
    Ok(size as i64)
}

/// A size, or -1 for no limit.
pub(crate) fn bytes_or_unlimited(text: &str) -> Result<i64> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// CPUs as billionths: `0.5` is 500000000.
pub(crate) fn nano_cpus(text: &str) -> Result<i64> {
    let invalid = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() > 6 || whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(invalid());
    }
    format!("{whole}{fraction:0<9}").parse().map_err(|_| invalid())
}

/// `nofile=1024:2048`, `nproc=64`, `core=-1`.
pub(crate) fn ulimit(text: &str) -> Result<ResourcesUlimits> {
    let invalid = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(invalid)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| match text {
        "unlimited" => Ok(-1),
        text => text.parse::<i64>().map_err(|_| invalid()),
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok(ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(soft),
        hard: Some(hard),
    })
}

/// `/dev/vda:1mb`: a device and bytes a second.
pub(crate) fn device_bytes(text: &str) -> Result<ThrottleDevice> {
    let (path, rate) = device_rate(text)?;
    let rate = bytes(rate).map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. \
                 Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(ThrottleDevice {
        path: Some(path.to_owned()),
        rate: Some(rate),
    })
}

/// `/dev/vda:100`: a device and its weight.
pub(crate) fn device_weight(text: &str) -> Result<ResourcesBlkioWeightDevice> {
    let (path, weight) = text
        .split_once(':')
        .ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    let weight = weight
        .parse::<u16>()
        .ok()
        .filter(|weight| *weight == 0 || (10..=1000).contains(weight))
        .ok_or_else(|| format!("invalid weight for device: {text}"))?;
    Ok(ResourcesBlkioWeightDevice {
        path: Some(path.to_owned()),
        weight: Some(usize::from(weight)),
    })
}

/// `/dev/vda:1000`: a device and operations a second.
pub(crate) fn device_operations(text: &str) -> Result<ThrottleDevice> {
    let (path, rate) = device_rate(text)?;
    let rate = rate.parse::<u32>().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
                 Number must be a positive integer"
        )
    })?;
    Ok(ThrottleDevice {
        path: Some(path.to_owned()),
        rate: Some(rate.into()),
    })
}

fn device_rate(text: &str) -> Result<(&str, &str)> {
    let (path, rate) = text
        .split_once(':')
        .ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok((path, rate))
}

/// `/dev/x`, `/dev/x:/dev/y`, `/dev/x:r`, `/dev/x:/dev/y:rw`.
pub(crate) fn device(text: &str) -> Result<DeviceMapping> {
    let is_access = |part: &str| !part.is_empty() && part.bytes().all(|byte| b"rwm".contains(&byte));
    let mut parts = text.splitn(3, ':');
    let source = parts.next().filter(|source| source.starts_with('/'));
    let source = source.ok_or_else(|| format!("invalid device specification: {text}"))?;
    let (target, access) = match (parts.next(), parts.next()) {
        (None, _) => (source, "rwm"),
        (Some(part), None) if is_access(part) => (source, part),
        (Some(target), None) => (target, "rwm"),
        (Some(target), Some(access)) if is_access(access) => (target, access),
        (_, Some(access)) => return Err(format!("invalid device mode: {access}")),
    };
    Ok(DeviceMapping {
        path_on_host: Some(source.to_owned()),
        path_in_container: Some(target.to_owned()),
        cgroup_permissions: Some(access.to_owned()),
    })
}

/// `name=value`, or `name` alone, which takes this process's own value where it has one.
pub(crate) fn variable(text: &str) -> Result<String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(match std::env::var(text) {
        Ok(value) if !text.contains('=') => format!("{text}={value}"),
        _ => text.to_owned(),
    })
}

/// The lines of a file of variables: blank lines and comments are passed over; a name alone takes this process's
/// own value, or is left out where there is none.
pub(crate) fn variables(path: &Path) -> Result<Vec<String>> {
    let mut variables = Vec::new();
    for line in lines(path)? {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(format!(
                "invalid env file ({}): no variable name on line '{line}'",
                path.display()
            ));
        }
        if name.contains(char::is_whitespace) {
            let path = path.display();
            return Err(format!(
                "invalid env file ({path}): variable '{name}' contains whitespaces"
            ));
        }
        if line.contains('=') {
            variables.push(line.to_owned());
        } else if let Ok(value) = std::env::var(name) {
            variables.push(format!("{name}={value}"));
        }
    }
    Ok(variables)
}

/// The lines of a file of labels.
pub(crate) fn labels(path: &Path) -> Result<Vec<String>> {
    let lines = lines(path)?;
    Ok(lines
        .into_iter()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .collect())
}

fn lines(path: &Path) -> Result<Vec<String>> {
    use std::io::Read;
    let failed = |error: std::io::Error| format!("open {}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LONGEST_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::to_owned)
        .collect())
}

/// A Go duration: `90s`, `1m30s`, `1.5h`, `300ms`.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let invalid = || format!("time: invalid duration {text:?}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(invalid()),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = tail;
    }
    if text.is_empty() {
        Err(invalid())
    } else {
        Ok(total)
    }
}

/// A point in time as the engine takes it, `seconds.nanoseconds`: from seconds, an RFC 3339 time or date (local
/// where it names no zone), or a duration back from now.
pub(crate) fn point_in_time(text: &str, now: SystemTime) -> Result<String> {
    let plain = text.trim_start_matches('-');
    if !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Ok(text.to_owned());
    }
    let written = |since: Duration| format!("{}.{:09}", since.as_secs(), since.subsec_nanos());
    if let Ok(back) = duration(text) {
        let then = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(back);
        return Ok(written(then));
    }
    let zoned = |civil: jiff::civil::DateTime| {
        civil
            .to_zoned_datetime(jiff::tz::TimeZone::system())
            .map(|zoned| zoned.timestamp())
    };
    let parsed = text
        .parse::<Timestamp>()
        .or_else(|_| text.parse().and_then(zoned))
        .map_err(|_| format!("failed to parse value as time or duration: {text:?}"))?;
    // Before 1970 there were no containers.
    Ok(written(
        Duration::try_from(parsed.as_duration()).unwrap_or_default(),
    ))
}

/// A text before and after a character.
pub(crate) fn split(text: &str, at: char) -> (String, String) {
    let (name, value) = text.split_once(at).unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// `NAME=value` each.
pub(crate) fn pairs(texts: &[String]) -> HashMap<String, String> {
    texts.iter().map(|text| split(text, '=')).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("512", 512)]
    #[case("64m", 64 << 20)]
    #[case("1.5g", 3 << 29)]
    #[case("10kb", 10240)]
    #[case("1GiB", 1 << 30)]
    #[case("7b", 7)]
    fn sizes_are_powers_of_1024(#[case] text: &str, #[case] expected: i64) {
        assert_eq!(bytes(text).unwrap(), expected);
    }

    #[test]
    fn a_size_with_a_strange_suffix_is_refused_in_dockers_words() {
        assert_eq!(bytes("3x").unwrap_err(), "invalid suffix: 'x'");
        assert_eq!(bytes("lots").unwrap_err(), "invalid size: 'lots'");
        assert!(bytes("99999999999g").is_err());
    }

    #[rstest]
    #[case("0.5", 500_000_000)]
    #[case("2", 2_000_000_000)]
    #[case(".25", 250_000_000)]
    fn cpus_are_counted_in_billionths(#[case] text: &str, #[case] expected: i64) {
        assert_eq!(nano_cpus(text).unwrap(), expected);
    }

    #[rstest]
    #[case("half")]
    #[case("-1")]
    #[case(".")]
    #[case("0.0000000001")]
    fn what_is_no_number_of_cpus_is_refused(#[case] text: &str) {
        assert!(nano_cpus(text).is_err());
    }

    #[test]
    fn a_ulimit_has_a_soft_and_a_hard_limit() {
        let limit = ulimit("nofile=10:20").unwrap();
        assert_eq!((limit.soft, limit.hard), (Some(10), Some(20)));
        let limit = ulimit("core=-1").unwrap();
        assert_eq!((limit.soft, limit.hard), (Some(-1), Some(-1)));
        assert!(ulimit("nofile=20:10").is_err() && ulimit("nofile").is_err());
    }

    #[test]
    fn a_device_can_have_another_name_and_less_access() {
        let mapped = device("/dev/fuse:/dev/f:r").unwrap();
        assert_eq!(mapped.path_in_container.as_deref(), Some("/dev/f"));
        assert_eq!(mapped.cgroup_permissions.as_deref(), Some("r"));
        assert_eq!(
            device("/dev/fuse:rw").unwrap().path_in_container.as_deref(),
            Some("/dev/fuse")
        );
        assert!(device("/dev/fuse:/dev/f:x").is_err() && device("fuse").is_err());
    }

    #[test]
    fn device_rates_are_bytes_or_operations() {
        assert_eq!(device_bytes("/dev/vda:1mb").unwrap().rate, Some(1 << 20));
        assert_eq!(device_operations("/dev/vda:100").unwrap().rate, Some(100));
        assert!(device_operations("/dev/vda:1mb").is_err() && device_bytes("vda:1").is_err());
    }

    #[rstest]
    #[case("90s", 90_000)]
    #[case("1m30s", 90_000)]
    #[case("1.5h", 5_400_000)]
    #[case("300ms", 300)]
    #[case("0", 0)]
    fn durations_are_gos(#[case] text: &str, #[case] milliseconds: u64) {
        assert_eq!(duration(text).unwrap(), Duration::from_millis(milliseconds));
    }

    #[rstest]
    #[case("")]
    #[case("5")]
    #[case("5 minutes")]
    #[case("s")]
    fn what_is_no_duration_is_refused(#[case] text: &str) {
        assert!(duration(text).is_err());
    }

    #[test]
    fn a_point_in_time_is_absolute_or_back_from_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(point_in_time("10m", now).unwrap(), "400.000000000");
        assert_eq!(point_in_time("1700000000.5", now).unwrap(), "1700000000.5");
        assert_eq!(
            point_in_time("1970-01-01T00:00:10Z", now).unwrap(),
            "10.000000000"
        );
        assert!(point_in_time("tomorrow", now).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_parser(text in ".{0,40}") {
            let _ = (bytes(&text), nano_cpus(&text), ulimit(&text), device(&text), duration(&text));
            let _ = (device_bytes(&text), point_in_time(&text, UNIX_EPOCH));
        }
    }
}
