//! Signal names and numbers of Linux on amd64 and arm64, which agree (signal(7)).

use crate::error::{EngineError, Result};

pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The signal of a number, a name with or without `SIG`, or `RTMIN+n`, in any case.
pub(crate) fn parse(text: &str) -> Result<i32> {
    number(text).ok_or_else(|| EngineError::BadRequest(format!("invalid signal: {text}")))
}

fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=SIGRTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |text: &str, most: i32| {
        text.parse::<i32>()
            .ok()
            .filter(|offset| (0..=most).contains(offset))
    };
    match name {
        "IOT" => return Some(6),
        "CLD" => return Some(17),
        "POLL" => return Some(29),
        "RTMIN" => return Some(SIGRTMIN),
        "RTMAX" => return Some(SIGRTMAX),
        _ => {}
    }
    if let Some(above) = name.strip_prefix("RTMIN+") {
        return Some(SIGRTMIN + offset(above, 15)?);
    }
    if let Some(below) = name.strip_prefix("RTMAX-") {
        return Some(SIGRTMAX - offset(below, 14)?);
    }
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index).ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("9", 9)]
    #[case("KILL", 9)]
    #[case("sigterm", 15)]
    #[case("SIGUSR1", 10)]
    #[case("WINCH", 28)]
    #[case("SYS", 31)]
    #[case("RTMIN+3", 37)]
    #[case("SIGRTMAX-1", 63)]
    fn a_signal_is_found_under_each_of_its_names(#[case] text: &str, #[case] number: i32) {
        assert_eq!(parse(text).unwrap(), number);
    }

    #[rstest]
    #[case("0")]
    #[case("65")]
    #[case("-1")]
    #[case("NOPE")]
    #[case("RTMIN+16")]
    #[case("")]
    fn what_is_no_signal_is_refused(#[case] text: &str) {
        assert_eq!(
            parse(text).unwrap_err().to_string(),
            format!("invalid signal: {text}")
        );
    }
}
