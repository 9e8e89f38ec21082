//! Rules for devices by their numbers (`--device-cgroup-rule`, moby `daemon/pkg/oci/oci.go`), and devices by what they can
//! do (`--gpus`, moby `daemon/devices.go`), for which there is no driver: a machine has no graphics processor.

use bollard_stubs::models::{DeviceRequest, HostConfig};
use protocol::{DeviceKind, DeviceRule};

use crate::error::{EngineError, Result};

/// Rules of one container. Each becomes instructions of the program that is asked at every open(2) of a device.
const MOST_RULES: usize = 256;

/// `--device-cgroup-rule`: `c 42:* rmw`.
pub(crate) fn rules(host: &HostConfig) -> Result<Vec<DeviceRule>> {
    let texts = host.device_cgroup_rules.as_deref().unwrap_or_default();
    if texts.len() > MOST_RULES {
        return Err(EngineError::BadRequest(format!(
            "{} device cgroup rules are over the limit of {MOST_RULES}",
            texts.len()
        )));
    }
    let parsed = |text: &String| {
        rule(text)
            .ok_or_else(|| EngineError::BadRequest(format!("invalid device cgroup rule format: '{text}'")))
    };
    texts.iter().map(parsed).collect()
}

fn rule(text: &str) -> Option<DeviceRule> {
    let mut words = text.split(' ');
    let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
    let kind = match kind {
        "a" => DeviceKind::Both,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Character,
        _ => return None,
    };
    let number = |text: &str| match text {
        "*" => Some(None),
        // Digits alone: Rust would take a sign too.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let good = (1..=3).contains(&access.len()) && access.bytes().all(|byte| b"rwm".contains(&byte));
    if !good || words.next().is_some() {
        return None;
    }
    Some(DeviceRule {
        kind,
        major: number(major)?,
        minor: number(minor)?,
        access: access.to_owned(),
    })
}

/// Refuses requests for devices by what they can do, in the words of a Docker without such a driver.
pub(crate) fn requests(host: &HostConfig) -> Result<()> {
    match host.device_requests.as_deref().unwrap_or_default() {
        [] => Ok(()),
        [first, ..] => Err(EngineError::BadRequest(no_driver(first))),
    }
}

fn no_driver(request: &DeviceRequest) -> String {
    let driver = request.driver.as_deref().unwrap_or_default();
    let sets = request.capabilities.iter().flatten();
    let sets: Vec<String> = sets.map(|set| format!("[{}]", set.join(" "))).collect();
    format!(
        "could not select device driver {driver:?} with capabilities: [{}]",
        sets.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_rule_names_devices_by_kind_and_numbers() {
        let expected = DeviceRule {
            kind: DeviceKind::Character,
            major: Some(42),
            minor: None,
            access: "rmw".to_owned(),
        };
        assert_eq!(rule("c 42:* rmw"), Some(expected));
        assert_eq!(rule("a *:* r").unwrap().kind, DeviceKind::Both);
    }

    #[rstest]
    #[case("")]
    #[case("c 42:*")]
    #[case("c 42 rwm")]
    #[case("c 42:* rwx")]
    #[case("c 42:* rwmr")]
    #[case("c 42:* ")]
    #[case("x 1:3 r")]
    #[case("c +1:3 r")]
    #[case("c :3 r")]
    #[case("c 1:3 r w")]
    #[case("c 99999999999:3 r")]
    fn what_is_no_rule_is_refused_in_dockers_words(#[case] text: &str) {
        let host = HostConfig {
            device_cgroup_rules: Some(vec![text.to_owned()]),
            ..HostConfig::default()
        };
        assert_eq!(
            rules(&host).unwrap_err().to_string(),
            format!("invalid device cgroup rule format: '{text}'")
        );
    }

    #[test]
    fn a_device_that_no_driver_has_is_refused_in_dockers_words() {
        let request = |driver: &str, capabilities: &[&[&str]]| DeviceRequest {
            driver: Some(driver.to_owned()),
            capabilities: Some(
                capabilities
                    .iter()
                    .map(|set| set.iter().map(|name| (*name).to_owned()).collect())
                    .collect(),
            ),
            ..DeviceRequest::default()
        };
        assert_eq!(
            no_driver(&request("", &[&["gpu"]])),
            "could not select device driver \"\" with capabilities: [[gpu]]"
        );
        assert_eq!(
            no_driver(&request("nvidia", &[&["compute", "gpu"], &["x"]])),
            "could not select device driver \"nvidia\" with capabilities: [[compute gpu] [x]]"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail(text in "\\PC{0,40}") {
            let _ = rule(&text);
        }
    }
}
