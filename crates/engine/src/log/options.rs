//! `--log-driver` and `--log-opt`, validated as in Docker and in its words (moby `daemon/logger/factory.go`,
//! `daemon/logger/jsonfilelog`, `daemon/logger/local`). What Docker finds out when the container starts is found out
//! when it is created.

use std::collections::HashMap;

use bollard_stubs::models::HostConfigLogConfig;

use super::attributes;
use super::entry::Format;
use crate::config::LogDefaults;
use crate::error::{EngineError, Result};

/// Drivers of Docker's that send logs elsewhere.
const ELSEWHERE: [&str; 9] = [
    "awslogs",
    "etwlogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "journald",
    "logentries",
    "splunk",
    "syslog",
];
/// Options of every driver.
const OF_ALL: [&str; 2] = ["mode", "max-buffer-size"];
/// Options of the drivers that keep files.
const OF_FILES: [&str; 8] = [
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
];
const KILO: u64 = 1000;
const KIBI: u64 = 1024;
const LOCAL_SIZE: u64 = 20 << 20;
const LOCAL_FILES: usize = 5;

/// How a container's log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) format: Format,
    /// Bytes from which on a file is rotated; `None` for never.
    pub(crate) max_size: Option<u64>,
    /// Files, with the one that is written to; at least one.
    pub(crate) max_files: usize,
    /// Whether rotated files are packed.
    pub(crate) compress: bool,
}

impl LogSettings {
    /// What a container's driver and options mean; `None` for the driver that keeps nothing.
    pub(crate) fn parse(log: &HostConfigLogConfig) -> Result<Option<Self>> {
        let none = HashMap::new();
        let options = log.config.as_ref().unwrap_or(&none);
        let driver = match log.typ.as_deref() {
            None | Some("") => "json-file",
            Some(driver) => driver,
        };
        if driver == "none" {
            return Ok(None);
        }
        of_all(options)?;
        let format = match driver {
            "json-file" => Format::Json,
            "local" => Format::Local,
            other if ELSEWHERE.contains(&other) => {
                return refuse(format!(
                    "sampan has no log driver '{other}': use json-file, local or none (--log-driver)"
                ));
            }
            other => return refuse(format!("logger: no log driver named '{other}' is registered")),
        };
        known(format, options)?;
        let settings = match format {
            Format::Json => json_file(options),
            Format::Local => local(options),
        };
        settings
            .and_then(|settings| attributes::check(options).map(|()| Some(settings)))
            .map_err(uninitialized)
    }
}

/// Gives a request the driver that is set for containers that name none, and that driver's options.
pub(crate) fn settle(defaults: &LogDefaults, log: &mut HostConfigLogConfig) {
    let driver = log.typ.get_or_insert_default();
    if driver.is_empty() {
        driver.clone_from(&defaults.driver);
    }
    if *driver == defaults.driver {
        let options = log.config.get_or_insert_default();
        for (name, value) in &defaults.options {
            options.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// As Docker tells of a driver that does not begin.
pub(super) fn uninitialized(error: String) -> EngineError {
    EngineError::BadRequest(format!("failed to initialize logging driver: {error}"))
}

fn refuse<T>(text: String) -> Result<T> {
    Err(EngineError::BadRequest(text))
}

fn of_all(options: &HashMap<String, String>) -> Result<()> {
    let mode = options.get("mode").map_or("", String::as_str);
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return refuse(format!("logger: logging mode not supported: {mode}"));
    }
    let Some(size) = options.get("max-buffer-size") else {
        return Ok(());
    };
    if mode != "non-blocking" {
        return refuse(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned(),
        );
    }
    match bytes(size, KIBI) {
        Ok(_) => Ok(()),
        Err(error) => refuse(format!("error parsing option max-buffer-size: {error}")),
    }
}

fn known(format: Format, options: &HashMap<String, String>) -> Result<()> {
    let unknown = options
        .keys()
        .filter(|name| !OF_ALL.contains(&name.as_str()) && !OF_FILES.contains(&name.as_str()))
        .min();
    match (unknown, format) {
        (None, _) => Ok(()),
        (Some(name), Format::Json) => refuse(format!("unknown log opt '{name}' for json-file log driver")),
        (Some(name), Format::Local) => refuse(format!("unknown log opt '{name}' for log driver local")),
    }
}

fn json_file(options: &HashMap<String, String>) -> Result<LogSettings, String> {
    let mut settings = LogSettings {
        format: Format::Json,
        max_size: None,
        max_files: 1,
        compress: false,
    };
    if let Some(size) = options.get("max-size") {
        let size = bytes(size, KILO)?;
        if size == 0 {
            return Err("max-size must be a positive number".to_owned());
        }
        settings.max_size = Some(size);
    }
    if let Some(files) = options.get("max-file") {
        settings.max_files = usize::try_from(integer(files)?)
            .ok()
            .filter(|files| *files > 0)
            .ok_or("max-file cannot be less than 1")?;
    }
    if let Some(compress) = options.get("compress") {
        settings.compress = boolean(compress)?;
        if settings.compress && (settings.max_files < 2 || settings.max_size.is_none()) {
            return Err(
                "compress cannot be true when max-file is less than 2 or max-size is not set".to_owned(),
            );
        }
    }
    Ok(settings)
}

fn local(options: &HashMap<String, String>) -> Result<LogSettings, String> {
    let mut settings = LogSettings {
        format: Format::Local,
        max_size: Some(LOCAL_SIZE),
        max_files: LOCAL_FILES,
        compress: true,
    };
    let invalid = |name: &str, value: &str, error| format!("invalid value for {name}: {value}: {error}");
    if let Some(size) = options.get("max-size") {
        settings.max_size = Some(bytes(size, KILO).map_err(|error| invalid("max-size", size, error))?);
    }
    if let Some(files) = options.get("max-file") {
        let number = integer(files).map_err(|error| invalid("max-file", files, error))?;
        settings.max_files = usize::try_from(number)
            .map_err(|_| "max file count cannot be less than 0")?
            .max(1);
    }
    if let Some(compress) = options.get("compress") {
        settings.compress =
            boolean(compress).map_err(|error| format!("error reading compress log option: {error}"))?;
    }
    if settings.compress && settings.max_files < 2 {
        return Err("compression cannot be enabled when max file count is 1".to_owned());
    }
    Ok(settings)
}

/// A size as docker/go-units reads it: `10m`, `1.5 GB`, `512KiB`, with `kilo` for the k.
fn bytes(text: &str, kilo: u64) -> Result<u64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.split('.').any(str::is_empty) {
        return Err(invalid());
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(invalid()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("strconv.ParseFloat: parsing {number:?}: invalid syntax"))?;
    Ok((number * kilo.saturating_pow(power) as f64).min(i64::MAX as f64) as u64)
}

fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {why}")
    })
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn config(driver: &str, options: &[(&str, &str)]) -> HostConfigLogConfig {
        HostConfigLogConfig {
            typ: Some(driver.to_owned()),
            config: Some(
                options
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
        }
    }

    #[rstest]
    #[case("loki", &[], "logger: no log driver named 'loki' is registered")]
    #[case("syslog", &[], "sampan has no log driver 'syslog': use json-file, local or none (--log-driver)")]
    #[case("json-file", &[("max-sise", "1m")], "unknown log opt 'max-sise' for json-file log driver")]
    #[case("local", &[("x", "1")], "unknown log opt 'x' for log driver local")]
    #[case("json-file", &[("mode", "slow")], "logger: logging mode not supported: slow")]
    #[case(
        "local",
        &[("max-buffer-size", "1m")],
        "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
    )]
    #[case(
        "local",
        &[("mode", "non-blocking"), ("max-buffer-size", "much")],
        "error parsing option max-buffer-size: invalid size: 'much'"
    )]
    fn what_docker_refuses_at_creation_is_refused_in_its_words(
        #[case] driver: &str,
        #[case] options: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let error = LogSettings::parse(&config(driver, options)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[rstest]
    #[case("json-file", &[("max-size", "ten")], "invalid size: 'ten'")]
    #[case("json-file", &[("max-size", "-1")], "invalid size: '-1'")]
    #[case("json-file", &[("max-size", "0")], "max-size must be a positive number")]
    #[case("json-file", &[("max-file", "0")], "max-file cannot be less than 1")]
    #[case("json-file", &[("max-file", "x")], "strconv.Atoi: parsing \"x\": invalid syntax")]
    #[case("json-file", &[("compress", "yes")], "strconv.ParseBool: parsing \"yes\": invalid syntax")]
    #[case(
        "json-file",
        &[("compress", "true"), ("max-file", "3")],
        "compress cannot be true when max-file is less than 2 or max-size is not set"
    )]
    #[case("local", &[("max-size", "x")], "invalid value for max-size: x: invalid size: 'x'")]
    #[case("local", &[("max-file", "1")], "compression cannot be enabled when max file count is 1")]
    #[case("local", &[("max-file", "-1")], "max file count cannot be less than 0")]
    fn what_docker_refuses_at_the_start_is_refused_at_creation(
        #[case] driver: &str,
        #[case] options: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let error = LogSettings::parse(&config(driver, options)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("failed to initialize logging driver: {expected}")
        );
    }

    #[test]
    fn a_container_without_a_driver_has_a_file_without_bounds() {
        let settings = LogSettings::parse(&HostConfigLogConfig::default())
            .unwrap()
            .unwrap();
        assert_eq!(
            settings,
            LogSettings {
                format: Format::Json,
                max_size: None,
                max_files: 1,
                compress: false
            }
        );
    }

    #[test]
    fn the_local_driver_has_bounds_of_its_own() {
        let settings = LogSettings::parse(&config("local", &[])).unwrap().unwrap();
        assert_eq!(
            (settings.max_size, settings.max_files, settings.compress),
            (Some(20 << 20), 5, true)
        );
        let one = [("max-file", "1"), ("compress", "false"), ("max-size", "10k")];
        let settings = LogSettings::parse(&config("local", &one)).unwrap().unwrap();
        assert_eq!((settings.max_size, settings.max_files), (Some(10_000), 1));
    }

    #[test]
    fn the_driver_none_keeps_nothing_and_asks_nothing_of_options() {
        assert_eq!(
            LogSettings::parse(&config("none", &[("max-size", "x")])).unwrap(),
            None
        );
    }

    #[test]
    fn default_options_go_to_containers_of_the_default_driver_only() {
        let defaults = LogDefaults {
            driver: "local".to_owned(),
            options: [
                ("max-size".to_owned(), "1m".to_owned()),
                ("max-file".to_owned(), "3".to_owned()),
            ]
            .into(),
        };
        let mut unnamed = HostConfigLogConfig::default();
        settle(&defaults, &mut unnamed);
        assert_eq!(unnamed, config("local", &[("max-size", "1m"), ("max-file", "3")]));
        let mut own = config("local", &[("max-size", "2m")]);
        settle(&defaults, &mut own);
        assert_eq!(own, config("local", &[("max-size", "2m"), ("max-file", "3")]));
        let mut other = config("json-file", &[]);
        settle(&defaults, &mut other);
        assert_eq!(other, config("json-file", &[]));
    }

    #[rstest]
    #[case("10", 10)]
    #[case("10k", 10_000)]
    #[case("1.5 MB", 1_500_000)]
    #[case("2GiB", 2_000_000_000)]
    fn a_size_is_read_as_docker_reads_it(#[case] text: &str, #[case] expected: u64) {
        assert_eq!(bytes(text, KILO), Ok(expected));
    }

    proptest! {
        #[test]
        fn arbitrary_options_are_no_crash(
            driver in "(json-file|local|none)",
            size in "[0-9.]{0,30} ?[kmgtpKMGTP]?\\PC{0,3}",
            files in "\\PC{0,22}",
            regex in "\\PC{0,12}",
            tag in "(\\PC|\\{\\{|\\}\\}){0,8}",
        ) {
            let options = [
                ("max-size", size.as_str()),
                ("max-file", &files),
                ("labels-regex", &regex),
                ("tag", &tag),
            ];
            let _ = LogSettings::parse(&config(&driver, &options));
        }

        #[test]
        fn whole_numbers_of_bytes_are_themselves(size in 0u32..) {
            prop_assert_eq!(bytes(&size.to_string(), KILO), Ok(u64::from(size)));
        }
    }
}
