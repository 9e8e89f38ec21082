//! Compiled programs, run by an interpreter, against the rules read one by one.

use proptest::prelude::*;
use proptest::sample::select;
use protocol::Architecture;

use super::interpreter::{Call, check, run};
use super::*;
use crate::abi::{self, Abi};
use crate::action::{ENOSYS, EPERM};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KERNEL: (u32, u32) = (6, 12);

/// What a profile means, without a thought for speed.
fn evaluate(profile: &Profile, machine: &Machine, call: &Call) -> u32 {
    let abis = profile.abis(machine.architecture);
    let Some(&abi) = abis.iter().find(|abi| abi.audit_number() == call.architecture) else {
        return Action::KillProcess.encode();
    };
    let default = profile.default.unwrap();
    let rules: Vec<_> = profile.rules.iter().filter(|rule| rule.holds(machine)).collect();
    let about = |number: u32| {
        let rules = rules.iter();
        rules
            .flat_map(|rule| rule.names.iter().map(move |name| (rule, name)))
            .filter(move |(_, name)| abi.number(name) == Some(number))
            .filter(|(rule, _)| rule.action != default)
    };
    if let Some((rule, _)) = about(call.number).find(|(rule, _)| rule.comparisons.is_empty()) {
        return rule.action.encode();
    }
    for (rule, name) in about(call.number) {
        let holds = |comparison: &Comparison| {
            let argument = call.arguments[usize::from(comparison.argument)];
            let narrow = abi.is_32_bit() || abi::is_int(name, comparison.argument);
            compares(
                comparison,
                argument,
                if narrow { u64::from(u32::MAX) } else { u64::MAX },
            )
        };
        let mut arguments: Vec<u8> = rule
            .comparisons
            .iter()
            .map(|comparison| comparison.argument)
            .collect();
        arguments.sort_unstable();
        let twice = arguments.windows(2).any(|pair| pair[0] == pair[1]);
        if twice && rule.comparisons.iter().any(holds) || !twice && rule.comparisons.iter().all(holds) {
            return rule.action.encode();
        }
    }
    let named = rules
        .iter()
        .flat_map(|rule| &rule.names)
        .filter_map(|name| abi.number(name));
    let newest = named.filter(|&number| abi.is_in_main_table(number)).max();
    let foreign = abi == Abi::X86_64 && call.number >= 1 << 30;
    let newer = newest.is_some_and(|newest| call.number > newest) && !default.permits();
    if foreign || newer {
        Action::Errno(ENOSYS).encode()
    } else {
        default.encode()
    }
}

fn compares(comparison: &Comparison, argument: u64, width: u64) -> bool {
    let (argument, value) = (argument & width, comparison.value & width);
    match comparison.operator {
        Operator::Equal => argument == value,
        Operator::NotEqual => argument != value,
        Operator::Less => argument < value,
        Operator::LessOrEqual => argument <= value,
        Operator::Greater => argument > value,
        Operator::GreaterOrEqual => argument >= value,
        Operator::MaskedEqual(mask) => argument & mask & width == value,
    }
}

fn operators() -> impl Strategy<Value = &'static str> {
    select(vec!["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
}

/// Numbers that meet one another often, in either half.
fn words() -> impl Strategy<Value = u64> {
    let half = prop_oneof![0..3_u32, Just(u32::MAX), Just(40)];
    prop_oneof![
        (half.clone(), half).prop_map(|(high, low)| u64::from(high) << 32 | u64::from(low)),
        any::<u64>()
    ]
}

/// System calls of all kinds: of one ABI, of all, private to Arm, with C integers, and unknown.
const NAMES: &[&str] = &[
    "read",
    "write",
    "openat",
    "clone",
    "clone3",
    "socket",
    "personality",
    "ioctl",
    "prctl",
    "set_tls",
    "cacheflush",
    "arch_prctl",
    "newfstatat",
    "fstatat64",
    "socketcall",
    "mseal",
    "mount",
    "fork",
    "no_such",
];

fn rules() -> impl Strategy<Value = String> {
    let argument = (0..3_u8, words(), words(), operators()).prop_map(|(index, value, two, op)| {
        format!(r#"{{"index":{index},"value":{value},"valueTwo":{two},"op":"SCMP_CMP_{op}"}}"#)
    });
    let names = proptest::collection::vec(select(NAMES), 1..6);
    let action = select(vec![
        "ALLOW",
        "ERRNO",
        "LOG",
        "KILL",
        "KILL_PROCESS",
        "TRAP",
        "TRACE",
    ]);
    let condition = select(vec![
        "",
        r#""caps":["CAP_SYS_ADMIN"]"#,
        r#""arches":["arm64"]"#,
        r#""minKernel":"5.9""#,
    ]);
    let conditions = (condition.clone(), condition);
    (
        names,
        action,
        proptest::collection::vec(argument, 0..4),
        conditions,
    )
        .prop_map(|(names, action, arguments, (includes, excludes))| {
            format!(
                r#"{{"names":{names:?},"action":"SCMP_ACT_{action}","args":[{}],"includes":{{{includes}}},
                "excludes":{{{excludes}}}}}"#,
                arguments.join(",")
            )
        })
}

fn profiles() -> impl Strategy<Value = Profile> {
    let default = select(vec!["ALLOW", "ERRNO", "KILL"]);
    let architectures = select(vec![
        r#""architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM","SCMP_ARCH_S390"],"#,
        r#""archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"#,
        "",
    ]);
    (default, architectures, proptest::collection::vec(rules(), 0..40)).prop_map(
        |(default, architectures, rules)| {
            let rules = rules.join(",");
            let json =
                format!(r#"{{"defaultAction":"SCMP_ACT_{default}",{architectures}"syscalls":[{rules}]}}"#);
            Profile::parse(json.as_bytes()).unwrap()
        },
    )
}

fn architectures() -> impl Strategy<Value = Architecture> {
    select(vec![Architecture::Amd64, Architecture::Arm64])
}

fn numbers(abi: Abi) -> impl Strategy<Value = u32> {
    let named: Vec<u32> = NAMES.iter().filter_map(|name| abi.number(name)).collect();
    let neighbour = select(named.clone()).prop_map(|number| number.wrapping_add(1));
    prop_oneof![8 => select(named), 2 => neighbour, 1 => 0..500_u32, 1 => any::<u32>(), 1 => Just(1 << 30)]
}

fn calls() -> impl Strategy<Value = Call> {
    let abis = select(vec![Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm]);
    abis.prop_flat_map(|abi| {
        (numbers(abi), proptest::array::uniform6(words())).prop_map(move |(number, arguments)| Call {
            number,
            architecture: abi.audit_number(),
            arguments,
        })
    })
}

proptest! {
    #[test]
    fn a_program_does_what_the_rules_say(
        profile in profiles(),
        architecture in architectures(),
        administrator: bool,
        kernel in select(vec![(4, 19), (5, 9), KERNEL]),
        calls in proptest::collection::vec(calls(), 64),
    ) {
        let capabilities = if administrator { vec!["SYS_ADMIN".to_owned()] } else { Vec::new() };
        let machine = Machine::new(architecture, &capabilities, kernel);
        let programs = compile(&profile, &machine).unwrap();
        check(&programs[0]);
        for call in calls {
            let expected = evaluate(&profile, &machine, &call);
            prop_assert_eq!(run(&programs[0], &call).0, expected, "{:?}", call);
        }
    }
}

/// The default profile's answer to a call with these first arguments.
fn default_answer(abi: Abi, capabilities: &[&str], name: &str, arguments: [u64; 2]) -> u32 {
    let number = abi.number(name).unwrap();
    answer_to_number(abi, capabilities, number, arguments)
}

fn answer_to_number(abi: Abi, capabilities: &[&str], number: u32, arguments: [u64; 2]) -> u32 {
    let architecture = if abi.runs_on(Architecture::Amd64) {
        Architecture::Amd64
    } else {
        Architecture::Arm64
    };
    let capabilities: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
    let programs = crate::docker_default(architecture, &capabilities, KERNEL);
    let [first, second] = arguments;
    let call = Call {
        number,
        architecture: abi.audit_number(),
        arguments: [first, second, 0, 0, 0, 0],
    };
    run(&programs[0], &call).0
}

const ABIS: [Abi; 4] = [Abi::X86_64, Abi::X86, Abi::Aarch64, Abi::Arm];

#[test]
fn ordinary_calls_are_allowed_by_their_number_alone() {
    for architecture in [Architecture::Amd64, Architecture::Arm64] {
        let programs = crate::docker_default(architecture, &[], KERNEL);
        check(&programs[0]);
        for name in [
            "read",
            "write",
            "openat",
            "mmap",
            "futex",
            "execve",
            "epoll_ctl",
            "statx",
            "ptrace",
        ] {
            let abi = Abi::native(architecture);
            let number = abi.number(name).unwrap();
            let call = Call {
                number,
                architecture: abi.audit_number(),
                arguments: [u64::MAX; 6],
            };
            assert_eq!(run(&programs[0], &call), (ALLOW, false), "{name}");
        }
    }
}

#[test]
fn calls_that_need_a_capability_fail_with_eperm_without_it() {
    for abi in ABIS {
        for (capability, name) in [
            ("SYS_ADMIN", "mount"),
            ("SYS_CHROOT", "chroot"),
            ("SYS_BOOT", "reboot"),
            ("BPF", "bpf"),
        ] {
            assert_eq!(
                default_answer(abi, &[], name, [0; 2]),
                ERRNO | u32::from(EPERM),
                "{name}"
            );
            assert_eq!(default_answer(abi, &[capability], name, [0; 2]), ALLOW, "{name}");
            let prefixed = format!("CAP_{capability}");
            assert_eq!(default_answer(abi, &[&prefixed], name, [0; 2]), ALLOW, "{name}");
        }
        for name in [
            "keyctl",
            "add_key",
            "kexec_load",
            "swapon",
            "userfaultfd",
            "io_uring_setup",
        ] {
            assert_eq!(
                default_answer(abi, &["SYS_ADMIN"], name, [0; 2]),
                ERRNO | u32::from(EPERM),
                "{name}"
            );
        }
    }
}

#[test]
fn a_clone_with_a_new_namespace_needs_sys_admin_and_clone3_says_enosys() {
    const NEW_USER: u64 = 0x1000_0000;
    const THREAD: u64 = 0x003d_0f00;
    for abi in ABIS {
        assert_eq!(default_answer(abi, &[], "clone", [THREAD, 0]), ALLOW);
        assert_eq!(
            default_answer(abi, &[], "clone", [THREAD | NEW_USER, 0]),
            ERRNO | u32::from(EPERM)
        );
        assert_eq!(
            default_answer(abi, &["SYS_ADMIN"], "clone", [THREAD | NEW_USER, 0]),
            ALLOW
        );
        assert_eq!(
            default_answer(abi, &[], "clone3", [0; 2]),
            ERRNO | u32::from(ENOSYS)
        );
        assert_eq!(default_answer(abi, &["SYS_ADMIN"], "clone3", [0; 2]), ALLOW);
    }
}

#[test]
fn a_socket_may_be_of_any_family_but_vsock_and_alg_whatever_its_upper_bits() {
    for abi in ABIS {
        for family in 0..60_u64 {
            let refused = family == 38 || family == 40;
            let expected = if refused { ERRNO | u32::from(EPERM) } else { ALLOW };
            for upper in [0, 1 << 32, 0xffff_ffff << 32] {
                assert_eq!(
                    default_answer(abi, &[], "socket", [family | upper, 1]),
                    expected,
                    "{family}"
                );
            }
        }
    }
}

#[test]
fn only_the_execution_domains_of_linux_may_be_set() {
    for abi in ABIS {
        for domain in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
            assert_eq!(default_answer(abi, &[], "personality", [domain, 0]), ALLOW);
        }
        for domain in [1, 0x4_0000, 0x2_0009] {
            assert_eq!(
                default_answer(abi, &[], "personality", [domain, 0]),
                ERRNO | u32::from(EPERM)
            );
        }
    }
}

#[test]
fn a_call_newer_than_the_profile_and_any_of_x32_fail_with_enosys() {
    for abi in ABIS {
        assert_eq!(answer_to_number(abi, &[], 467, [0; 2]), ERRNO | u32::from(ENOSYS));
        assert_eq!(
            answer_to_number(abi, &[], u32::MAX, [0; 2]),
            ERRNO | u32::from(ENOSYS)
        );
    }
    assert_eq!(
        answer_to_number(Abi::X86_64, &["SYS_ADMIN"], 1 << 30, [0; 2]),
        ERRNO | u32::from(ENOSYS)
    );
}

#[test]
fn a_program_of_an_unknown_abi_is_killed() {
    let programs = crate::docker_default(Architecture::Arm64, &[], KERNEL);
    let call = Call {
        number: 0,
        architecture: Abi::X86_64.audit_number(),
        arguments: [0; 6],
    };
    assert_eq!(run(&programs[0], &call).0, Action::KillProcess.encode());
}

#[test]
fn the_default_profile_is_a_small_program() {
    let all: Vec<String> = ["SYS_ADMIN", "SYS_PTRACE", "SYS_NICE", "SYS_TIME"]
        .map(str::to_owned)
        .into();
    for architecture in [Architecture::Amd64, Architecture::Arm64] {
        for capabilities in [&[], &all[..]] {
            let length = crate::docker_default(architecture, capabilities, KERNEL)[0]
                .0
                .len();
            assert!(length < 400, "{length} instructions on {architecture}");
        }
    }
}

#[test]
fn a_profile_that_does_not_fit_the_kernel_is_refused() {
    let rule = |value: usize| {
        format!(
            r#"{{"names":["read"],"action":"SCMP_ACT_LOG","args":[{{"index":1,"value":{value},"op":"SCMP_CMP_EQ"}}]}}"#
        )
    };
    let rules: Vec<String> = (0..2000).map(rule).collect();
    let json = format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#,
        rules.join(",")
    );
    let profile = Profile::parse(json.as_bytes()).unwrap();
    let error = profile.compile(Architecture::Amd64, &[], KERNEL).unwrap_err();
    assert!(error.to_string().contains("4096"), "{error}");
}

#[test]
fn a_profile_without_an_action_filters_nothing() {
    let profile = Profile::parse(b"{}").unwrap();
    assert_eq!(profile.compile(Architecture::Amd64, &[], KERNEL).unwrap(), []);
}
