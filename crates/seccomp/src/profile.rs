//! A profile, checked, and which of its rules hold for a container.

use std::borrow::Cow;

use protocol::{Architecture, SeccompProgram};

use crate::abi::Abi;
use crate::action::Action;
use crate::compiler::{self, CompileError};
use crate::json::{self, ParseError};

/// A seccomp profile in Docker's format.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// `None` filters nothing.
    pub(crate) default: Option<Action>,
    pub(crate) extra_abis: Vec<ExtraAbi>,
    pub(crate) rules: Vec<Rule>,
}

impl Profile {
    /// Reads a profile, as in `--security-opt seccomp=profile.json`. `json` is at most
    /// [`MAX_PROFILE_BYTES`](crate::MAX_PROFILE_BYTES) long.
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        json::parse(json)
    }

    /// The ABIs that a program may use on a kernel of this architecture, its own first.
    pub(crate) fn abis(&self, architecture: Architecture) -> Vec<Abi> {
        let native = Abi::native(architecture);
        let mut abis = vec![native];
        for extra in &self.extra_abis {
            let applies = extra.beside.is_none_or(|beside| beside == native);
            if applies && extra.abi.runs_on(architecture) && !abis.contains(&extra.abi) {
                abis.push(extra.abi);
            }
        }
        abis
    }

    /// The programs for a container on a kernel of this architecture: one, or none when the profile filters
    /// nothing.
    ///
    /// `capabilities` are those of the container's bounding set, with or without `CAP_`; `kernel` is the
    /// guest kernel's version, as in (6, 12).
    pub fn compile(
        &self,
        architecture: Architecture,
        capabilities: &[String],
        kernel: (u32, u32),
    ) -> Result<Vec<SeccompProgram>, CompileError> {
        compiler::compile(self, &Machine::new(architecture, capabilities, kernel))
    }
}

/// An ABI that the profile has beside the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtraAbi {
    pub(crate) abi: Abi,
    /// Only where this is the kernel's own.
    pub(crate) beside: Option<Abi>,
}

/// Names of system calls and what becomes of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) names: Vec<Cow<'static, str>>,
    pub(crate) action: Action,
    pub(crate) comparisons: Vec<Comparison>,
    /// The rule holds where all of these are true.
    pub(crate) includes: Conditions,
    /// The rule does not hold where one of these is true.
    pub(crate) excludes: Conditions,
}

impl Rule {
    /// Whether the rule is part of the profile for this container.
    pub(crate) fn holds(&self, machine: &Machine) -> bool {
        let Conditions {
            capabilities,
            architectures,
            minimal_kernel,
        } = &self.includes;
        let included = capabilities.iter().all(|name| machine.has_capability(name))
            && (architectures.is_empty() || machine.is_among(architectures))
            && minimal_kernel.is_none_or(|minimum| machine.kernel >= minimum);
        let Conditions {
            capabilities,
            architectures,
            minimal_kernel,
        } = &self.excludes;
        let excluded = capabilities.iter().any(|name| machine.has_capability(name))
            || machine.is_among(architectures)
            || minimal_kernel.is_some_and(|minimum| machine.kernel >= minimum);
        included && !excluded
    }
}

/// What a rule may depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conditions {
    /// With or without `CAP_`.
    pub(crate) capabilities: Vec<Cow<'static, str>>,
    /// Docker's names.
    pub(crate) architectures: Vec<Cow<'static, str>>,
    pub(crate) minimal_kernel: Option<(u32, u32)>,
}

/// A comparison of an argument with a constant, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// 0 to 5.
    pub(crate) argument: u8,
    pub(crate) operator: Operator,
    pub(crate) value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The argument is masked with this before it is compared for equality.
    MaskedEqual(u64),
}

/// What a profile is compiled for.
#[derive(Clone, Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) architecture: Architecture,
    capabilities: &'a [String],
    kernel: (u32, u32),
}

impl<'a> Machine<'a> {
    pub(crate) fn new(architecture: Architecture, capabilities: &'a [String], kernel: (u32, u32)) -> Self {
        Self {
            architecture,
            capabilities,
            kernel,
        }
    }

    fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|held| bare(held) == bare(name))
    }

    fn is_among(&self, architectures: &[Cow<'static, str>]) -> bool {
        architectures
            .iter()
            .any(|name| name == self.architecture.docker_name())
    }
}

/// A capability's name without its prefix.
fn bare(capability: &str) -> &str {
    capability.strip_prefix("CAP_").unwrap_or(capability)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(includes: Conditions, excludes: Conditions) -> Rule {
        Rule {
            names: Vec::new(),
            action: Action::Allow,
            comparisons: Vec::new(),
            includes,
            excludes,
        }
    }

    fn holds(rule: &Rule, capabilities: &[&str], kernel: (u32, u32)) -> bool {
        let capabilities: Vec<String> = capabilities.iter().map(|&name| name.to_owned()).collect();
        rule.holds(&Machine::new(Architecture::Arm64, &capabilities, kernel))
    }

    fn conditions(capabilities: &[&'static str], architectures: &[&'static str]) -> Conditions {
        Conditions {
            capabilities: capabilities.iter().copied().map(Cow::Borrowed).collect(),
            architectures: architectures.iter().copied().map(Cow::Borrowed).collect(),
            minimal_kernel: None,
        }
    }

    #[test]
    fn a_rule_without_conditions_always_holds() {
        assert!(holds(
            &rule(Conditions::default(), Conditions::default()),
            &[],
            (0, 0)
        ));
    }

    #[test]
    fn a_rule_includes_who_has_all_of_its_capabilities() {
        let rule = rule(conditions(&["CAP_BPF", "PERFMON"], &[]), Conditions::default());
        assert!(holds(&rule, &["BPF", "CAP_PERFMON", "KILL"], (6, 12)));
        assert!(!holds(&rule, &["BPF"], (6, 12)));
    }

    #[test]
    fn a_rule_excludes_who_has_one_of_its_capabilities() {
        let rule = rule(
            Conditions::default(),
            conditions(&["CAP_BPF", "CAP_PERFMON"], &[]),
        );
        assert!(holds(&rule, &["KILL"], (6, 12)));
        assert!(!holds(&rule, &["PERFMON"], (6, 12)));
    }

    #[test]
    fn a_rule_holds_on_the_architectures_that_it_includes_and_not_on_those_that_it_excludes() {
        assert!(holds(
            &rule(conditions(&[], &["amd64", "arm64"]), Conditions::default()),
            &[],
            (6, 12)
        ));
        assert!(!holds(
            &rule(conditions(&[], &["amd64"]), Conditions::default()),
            &[],
            (6, 12)
        ));
        assert!(!holds(
            &rule(Conditions::default(), conditions(&[], &["amd64", "arm64"])),
            &[],
            (6, 12)
        ));
        assert!(holds(
            &rule(Conditions::default(), conditions(&[], &["amd64"])),
            &[],
            (6, 12)
        ));
    }

    #[test]
    fn a_minimal_kernel_is_the_first_that_a_rule_includes_or_excludes() {
        let minimal = Conditions {
            minimal_kernel: Some((5, 9)),
            ..Conditions::default()
        };
        let from = rule(minimal.clone(), Conditions::default());
        let until = rule(Conditions::default(), minimal);
        for (kernel, reached) in [((5, 8), false), ((4, 20), false), ((5, 9), true), ((6, 0), true)] {
            assert_eq!(holds(&from, &[], kernel), reached);
            assert_eq!(holds(&until, &[], kernel), !reached);
        }
    }
}
