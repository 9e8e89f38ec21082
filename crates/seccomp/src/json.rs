//! Docker's JSON form of a profile (moby/profiles, `seccomp.Seccomp`, over runtime-spec's `linux.seccomp`).
//! It comes from an API client: bounded, and every value checked. Fields that are not known are passed over
//! as Docker does.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use crate::abi::Abi;
use crate::action::{Action, EPERM, MAX_ERRNO};
use crate::profile::{Comparison, Conditions, ExtraAbi, Operator, Profile, Rule};

/// The longest profile, in bytes. Docker's own takes 16 KiB.
pub const MAX_PROFILE_BYTES: usize = 1 << 20;
const ARGUMENTS: u64 = 6;

/// A profile is not in Docker's format, or asks for something that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the seccomp profile is {0} bytes long: at most {MAX_PROFILE_BYTES} bytes are read")]
    TooLong(usize),
    #[error("the seccomp profile is not in Docker's format: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "the seccomp profile has the unknown action {0:?}: use SCMP_ACT_ALLOW, SCMP_ACT_ERRNO or another"
    )]
    Action(String),
    #[error("the seccomp profile has SCMP_ACT_NOTIFY, which needs a listener and cannot be used here")]
    Notify,
    #[error("the seccomp profile returns error {0}: the largest error number is {MAX_ERRNO}")]
    Errno(u64),
    #[error("the seccomp profile has the unknown operator {0:?}: use SCMP_CMP_EQ, SCMP_CMP_NE or another")]
    Operator(String),
    #[error("the seccomp profile compares argument {0}: system calls have arguments 0 to 5")]
    Argument(u64),
    #[error("the seccomp profile has the unknown architecture {0:?}: use SCMP_ARCH_X86_64 or another")]
    Architecture(String),
    #[error("the seccomp profile has the kernel version {0:?}: write it as in \"4.8\"")]
    Kernel(String),
    #[error("the seccomp profile has both 'name' and 'names' in one rule: use 'names'")]
    BothNames,
    #[error("the seccomp profile has both 'architectures' and 'archMap': use one of them")]
    BothArchitectures,
}

pub(crate) fn parse(json: &[u8]) -> Result<Profile, ParseError> {
    if json.len() > MAX_PROFILE_BYTES {
        return Err(ParseError::TooLong(json.len()));
    }
    let text: ProfileText = serde_json::from_slice(json)?;
    let extra_abis = abis(&text)?;
    let default = if text.default_action.is_empty() && text.syscalls.is_empty() {
        None
    } else {
        Some(action(&text.default_action, text.default_errno_ret)?)
    };
    let rules = text.syscalls.into_iter().map(rule).collect::<Result<_, _>>()?;
    Ok(Profile {
        default,
        extra_abis,
        rules,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileText {
    #[serde(default)]
    default_action: String,
    default_errno_ret: Option<u64>,
    #[serde(default, deserialize_with = "null_is_default")]
    architectures: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    arch_map: Vec<ArchitectureText>,
    #[serde(default, deserialize_with = "null_is_default")]
    syscalls: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureText {
    architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    sub_architectures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleText {
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u64>,
    #[serde(default, deserialize_with = "null_is_default")]
    args: Vec<ComparisonText>,
    #[serde(default, deserialize_with = "null_is_default")]
    includes: ConditionsText,
    #[serde(default, deserialize_with = "null_is_default")]
    excludes: ConditionsText,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComparisonText {
    index: u64,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConditionsText {
    #[serde(default, deserialize_with = "null_is_default")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    arches: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    min_kernel: String,
}

/// Go writes an empty list or structure as null.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

fn rule(text: RuleText) -> Result<Rule, ParseError> {
    let names = match (text.name.is_empty(), text.names.is_empty()) {
        (false, false) => return Err(ParseError::BothNames),
        (false, true) => vec![text.name],
        (true, _) => text.names,
    };
    Ok(Rule {
        names: owned(names),
        action: action(&text.action, text.errno_ret)?,
        comparisons: text.args.iter().map(comparison).collect::<Result<_, _>>()?,
        includes: conditions(text.includes)?,
        excludes: conditions(text.excludes)?,
    })
}

fn action(name: &str, errno: Option<u64>) -> Result<Action, ParseError> {
    let number = || match errno.map(u16::try_from) {
        None => Ok(EPERM),
        Some(Ok(number)) if number <= MAX_ERRNO => Ok(number),
        Some(_) => Err(ParseError::Errno(errno.unwrap_or_default())),
    };
    Ok(match name {
        "SCMP_ACT_ERRNO" => Action::Errno(number()?),
        "SCMP_ACT_TRACE" => Action::Trace(number()?),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_NOTIFY" => return Err(ParseError::Notify),
        _ => return Err(ParseError::Action(shortened(name))),
    })
}

fn comparison(text: &ComparisonText) -> Result<Comparison, ParseError> {
    let argument = u8::try_from(text.index).ok().filter(|_| text.index < ARGUMENTS);
    let argument = argument.ok_or(ParseError::Argument(text.index))?;
    let (operator, value) = match text.op.as_str() {
        "SCMP_CMP_EQ" => (Operator::Equal, text.value),
        "SCMP_CMP_NE" => (Operator::NotEqual, text.value),
        "SCMP_CMP_LT" => (Operator::Less, text.value),
        "SCMP_CMP_LE" => (Operator::LessOrEqual, text.value),
        "SCMP_CMP_GT" => (Operator::Greater, text.value),
        "SCMP_CMP_GE" => (Operator::GreaterOrEqual, text.value),
        "SCMP_CMP_MASKED_EQ" => (Operator::MaskedEqual(text.value), text.value_two),
        _ => return Err(ParseError::Operator(shortened(&text.op))),
    };
    Ok(Comparison {
        argument,
        operator,
        value,
    })
}

fn conditions(text: ConditionsText) -> Result<Conditions, ParseError> {
    let minimal_kernel = match text.min_kernel.as_str() {
        "" => None,
        version => Some(kernel(version).ok_or_else(|| ParseError::Kernel(shortened(version)))?),
    };
    Ok(Conditions {
        capabilities: owned(text.caps),
        architectures: owned(text.arches),
        minimal_kernel,
    })
}

fn kernel(version: &str) -> Option<(u32, u32)> {
    let (version, revision) = version.split_once('.')?;
    Some((version.parse().ok()?, revision.parse().ok()?))
}

/// All of `architectures`, or what `archMap` has beside an architecture.
fn abis(text: &ProfileText) -> Result<Vec<ExtraAbi>, ParseError> {
    if !text.architectures.is_empty() && !text.arch_map.is_empty() {
        return Err(ParseError::BothArchitectures);
    }
    let mut abis = Vec::new();
    for name in &text.architectures {
        abis.extend(abi(name)?.map(|abi| ExtraAbi { abi, beside: None }));
    }
    for entry in &text.arch_map {
        let beside = abi(&entry.architecture)?;
        for name in &entry.sub_architectures {
            let known = abi(name)?.filter(|_| beside.is_some());
            abis.extend(known.map(|abi| ExtraAbi { abi, beside }));
        }
    }
    Ok(abis)
}

/// `None` for an architecture that no guest can have.
fn abi(name: &str) -> Result<Option<Abi>, ParseError> {
    match name.strip_prefix("SCMP_ARCH_") {
        Some(name) => Ok(Abi::by_name(name)),
        None => Err(ParseError::Architecture(shortened(name))),
    }
}

fn owned(names: Vec<String>) -> Vec<Cow<'static, str>> {
    names.into_iter().map(Cow::Owned).collect()
}

/// As much of a client's text as an error repeats.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(json: &str) -> String {
        parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn every_field_of_a_rule_is_read() {
        let profile = parse(
            br#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "syscalls": [{
                "names": ["clone", "fork"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "comment": "why",
                "args": [{"index": 2, "value": 7, "valueTwo": 5, "op": "SCMP_CMP_MASKED_EQ"}],
                "includes": {"caps": ["CAP_BPF"], "minKernel": "4.8"}, "excludes": {"arches": ["s390"]}}]}"#,
        );
        let profile = profile.unwrap();
        let operator = Operator::MaskedEqual(7);
        let expected = Rule {
            names: vec!["clone".into(), "fork".into()],
            action: Action::Errno(38),
            comparisons: vec![Comparison {
                argument: 2,
                operator,
                value: 5,
            }],
            includes: Conditions {
                capabilities: vec!["CAP_BPF".into()],
                minimal_kernel: Some((4, 8)),
                ..Conditions::default()
            },
            excludes: Conditions {
                architectures: vec!["s390".into()],
                ..Conditions::default()
            },
        };
        assert_eq!(profile.default, Some(Action::Errno(13)));
        assert_eq!(profile.rules, [expected]);
    }

    #[test]
    fn null_and_the_old_single_name_are_understood() {
        let profile = parse(
            br#"{"defaultAction": "SCMP_ACT_KILL", "architectures": null, "syscalls": [
                {"name": "read", "action": "SCMP_ACT_ALLOW", "args": null, "includes": {}, "excludes": null}]}"#,
        );
        assert_eq!(profile.unwrap().rules[0].names, ["read"]);
    }

    #[test]
    fn an_empty_profile_has_no_action() {
        assert_eq!(parse(b"{}").unwrap().default, None);
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        let rule = |rule: &str| {
            error(&format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}"#
            ))
        };
        assert!(error(r#"{"defaultAction":"SCMP_ACT_SHOUT"}"#).contains("SCMP_ACT_SHOUT"));
        assert!(error(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#).contains("listener"));
        assert!(error(r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}"#).contains("4096"));
        assert!(error(r#"{"architectures":["x86"]}"#).contains("x86"));
        assert!(
            error(r#"{"architectures":["SCMP_ARCH_ARM"],"archMap":[{"architecture":"SCMP_ARCH_ARM"}]}"#)
                .contains("archMap")
        );
        assert!(rule(r#"{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}"#).contains("'names'"));
        let with = |index: u8, op: &str| {
            let args = format!(r#"[{{"index":{index},"value":1,"op":"{op}"}}]"#);
            rule(&format!(
                r#"{{"names":["a"],"action":"SCMP_ACT_LOG","args":{args}}}"#
            ))
        };
        assert!(with(6, "SCMP_CMP_EQ").contains("argument 6"));
        assert!(with(0, "==").contains("=="));
        let kernel = r#"{"names":["a"],"action":"SCMP_ACT_LOG","includes":{"minKernel":"six"}}"#;
        assert!(rule(kernel).contains("six"));
    }

    #[test]
    fn a_profile_over_the_limit_is_not_read() {
        let long = vec![b' '; MAX_PROFILE_BYTES + 1];
        assert!(matches!(parse(&long), Err(ParseError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn no_input_is_a_panic(json in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&json);
        }

        #[test]
        fn no_value_is_a_panic(action in "[A-Z_]{0,12}", number in any::<u64>(), kernel in "[0-9.]{0,12}") {
            let _ = parse(format!(
                r#"{{"defaultAction":"SCMP_ACT_{action}","defaultErrnoRet":{number},"syscalls":[{{"names":["a"],
                "action":"SCMP_ACT_TRACE","errnoRet":{number},"includes":{{"minKernel":"{kernel}"}},
                "args":[{{"index":{number},"value":{number},"op":"SCMP_CMP_EQ"}}]}}]}}"#
            ).as_bytes());
        }
    }
}
