//! `--network-rate`: how many bytes a second a container may send, and as many again receive, on each of its networks.
//!
//! Docker has no such flag and its API no field for it, so the rate is the label `sampan.network-rate` of the container:
//! every client can set that (`docker run --label`, `labels:` in a compose file), `inspect` shows it, and the database
//! keeps it with the record. As with every label, that of the image holds where the container has none of its own, and an
//! empty one takes it away.
//!
//! A rate is written as tc(8) and Docker write theirs: `10mbit` counts bits by powers of 1000, `1mb` bytes by powers of
//! 1024. A number without a unit is refused, since tc takes it for bits and Docker for bytes.

use bollard_stubs::models::ContainerConfig;

use super::endpoints::{Mode, refuse};
use crate::error::Result;

/// The label that holds a container's rate.
const LABEL: &str = "sampan.network-rate";
/// Bits a second: less than the least lets a container wait seconds for a single packet, and no machine forwards the most.
const LEAST: u128 = 8_000;
const MOST: u128 = 10_000_000_000;
/// What each unit is in bits.
const UNITS: [(&str, u128); 8] = [
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("kb", 8 << 10),
    ("mb", 8 << 20),
    ("gb", 8 << 30),
    ("bit", 1),
    ("b", 8),
];
/// Digits of a number before and behind its point.
const MOST_DIGITS: usize = 12;

/// The rate of a container of this configuration in bytes a second; `None` is as fast as it goes.
pub(crate) fn of(config: &ContainerConfig) -> Result<Option<u32>> {
    let label = config.labels.as_ref().and_then(|labels| labels.get(LABEL));
    match label.map(|text| text.trim()).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match parse(text) {
            Some(rate) => Ok(Some(rate)),
            None => refuse(format!(
                "invalid network rate {text:?} (--network-rate, or the label {LABEL}): a number and a unit such as 10mbit or \
                 1.5mb a second, from 8kbit to 10gbit; kbit, mbit and gbit count bits by thousands, kb, mb and gb bytes \
                 by 1024"
            )),
        },
    }
}

/// Refuses a rate for a container without an interface of its own.
pub(crate) fn check(config: &ContainerConfig, network_mode: Option<&str>) -> Result<()> {
    if of(config)?.is_none() {
        return Ok(());
    }
    let whose = match Mode::of(network_mode) {
        Mode::Named(name) if name == "host" => "the network host is the machine's own",
        Mode::Named(name) if name == "none" => "a container of the network none sends nothing",
        Mode::Named(_) => return Ok(()),
        Mode::Container(_) => "the network is another container's, which can have a rate of its own",
    };
    refuse(format!(
        "conflicting options: a network rate (--network-rate, or the label {LABEL}) needs a network interface of the \
         container's own, and {whose}"
    ))
}

fn parse(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let (number, bits) = UNITS
        .iter()
        .find_map(|(unit, bits)| Some((text.strip_suffix(unit)?.trim_end(), *bits)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= MOST_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let number: u128 = format!("{whole}{fraction}").parse().ok()?;
    let rate = number.checked_mul(bits)? / scale;
    if !(LEAST..=MOST).contains(&rate) {
        return None;
    }
    u32::try_from(rate / 8).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn labelled(rate: &str) -> ContainerConfig {
        ContainerConfig {
            labels: Some([(LABEL.to_owned(), rate.to_owned())].into_iter().collect()),
            ..ContainerConfig::default()
        }
    }

    #[rstest]
    #[case("8kbit", 1_000)]
    #[case("10mbit", 1_250_000)]
    #[case("1.5 Mbit", 187_500)]
    #[case("10gbit", 1_250_000_000)]
    #[case("100kb", 102_400)]
    #[case("1mb", 1 << 20)]
    #[case("0.5GB", 512 << 20)]
    #[case("9600bit", 1_200)]
    #[case("4096b", 4_096)]
    fn bits_are_counted_by_thousands_and_bytes_by_1024(#[case] text: &str, #[case] rate: u32) {
        assert_eq!(of(&labelled(text)).unwrap(), Some(rate));
    }

    #[rstest]
    #[case("10")]
    #[case("mbit")]
    #[case(".5mbit")]
    #[case("-1mbit")]
    #[case("1e3kbit")]
    #[case("10mbps")]
    #[case("7999bit")]
    #[case("11gbit")]
    #[case("99999999999999999999gbit")]
    fn what_is_no_rate_is_refused_with_its_own_text(#[case] text: &str) {
        let error = of(&labelled(text)).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("invalid network rate {text:?}")),
            "{error}"
        );
    }

    #[test]
    fn without_a_label_or_with_an_empty_one_there_is_no_rate() {
        assert_eq!(of(&ContainerConfig::default()).unwrap(), None);
        assert_eq!(of(&labelled(" ")).unwrap(), None);
    }

    #[rstest]
    #[case("host")]
    #[case("none")]
    #[case("container:web")]
    fn a_container_without_an_interface_of_its_own_has_no_rate(#[case] mode: &str) {
        let error = check(&labelled("1mbit"), Some(mode)).unwrap_err().to_string();
        assert!(
            error.starts_with("conflicting options: a network rate"),
            "{error}"
        );
        check(&labelled(""), Some(mode)).unwrap();
        check(&labelled("1mbit"), None).unwrap();
        check(&labelled("1mbit"), Some("web")).unwrap();
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_rate_in_bounds_is_read_as_it_was_written(kilobits in 8u32..10_000_000) {
            prop_assert_eq!(parse(&format!("{kilobits}kbit")), Some(kilobits * 125));
        }
    }
}
