//! What becomes of each system call of one ABI.

use std::collections::BTreeMap;

use crate::abi::{self, Abi};
use crate::action::{Action, ENOSYS};
use crate::profile::{Comparison, Machine, Profile, Rule};

/// The action of the first alternative whose comparisons all hold, or another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) otherwise: Action,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alternative {
    /// Each with whether only the lower 32 bits are compared.
    pub(crate) comparisons: Vec<(Comparison, bool)>,
    pub(crate) action: Action,
}

/// Numbers from `first` up to the next range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) decision: Decision,
}

/// All numbers, in ascending ranges of which the first begins at 0 and no two neighbours decide alike.
pub(crate) fn ranges(profile: &Profile, default: Action, machine: &Machine, abi: Abi) -> Vec<Range> {
    let calls = calls(profile, default, machine, abi);
    let newest = calls.newest;
    let default = |number: u32| {
        let is_newer = newest.is_some_and(|newest| number > newest);
        let unknown = !default.permits() && default != Action::Errno(ENOSYS) && is_newer;
        let foreign = abi == Abi::X86_64 && number >= abi::X32_BASE;
        if unknown || foreign {
            Action::Errno(ENOSYS)
        } else {
            default
        }
    };
    let constant = |action| Decision {
        alternatives: Vec::new(),
        otherwise: action,
    };

    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |first: u32, decision: Decision| {
        if ranges.last().is_none_or(|last| last.decision != decision) {
            ranges.push(Range { first, decision });
        }
    };
    let after_newest = newest.and_then(|newest| newest.checked_add(1));
    let edges = [
        Some(0),
        after_newest,
        (abi == Abi::X86_64).then_some(abi::X32_BASE),
    ];
    let mut numbers: BTreeMap<u32, Option<Call>> =
        edges.into_iter().flatten().map(|edge| (edge, None)).collect();
    for (number, call) in calls.by_number {
        numbers.insert(number, Some(call));
        if let Some(next) = number.checked_add(1) {
            numbers.entry(next).or_insert(None);
        }
    }
    for (number, call) in numbers {
        let otherwise = default(number);
        add(
            number,
            match call {
                None => constant(otherwise),
                Some(Call {
                    always: Some(action), ..
                }) => constant(action),
                Some(Call { alternatives, .. }) => Decision {
                    alternatives,
                    otherwise,
                },
            },
        );
    }
    ranges
}

struct Calls {
    by_number: BTreeMap<u32, Call>,
    /// The greatest number that the profile names.
    newest: Option<u32>,
}

#[derive(Default)]
struct Call {
    always: Option<Action>,
    alternatives: Vec<Alternative>,
}

fn calls(profile: &Profile, default: Action, machine: &Machine, abi: Abi) -> Calls {
    let mut by_number: BTreeMap<u32, Call> = BTreeMap::new();
    let mut newest = None;
    for rule in profile.rules.iter().filter(|rule| rule.holds(machine)) {
        for name in &rule.names {
            let Some(number) = abi.number(name) else { continue };
            if abi.is_in_main_table(number) {
                newest = newest.max(Some(number));
            }
            if rule.action == default {
                continue;
            }
            let call = by_number.entry(number).or_default();
            if rule.comparisons.is_empty() {
                call.always.get_or_insert(rule.action);
            } else {
                call.alternatives.extend(alternatives(rule, name, abi));
            }
        }
    }
    Calls { by_number, newest }
}

/// A rule with comparisons: all of them together, or each alone when two are of one argument.
fn alternatives(rule: &Rule, name: &str, abi: Abi) -> Vec<Alternative> {
    let action = rule.action;
    let comparisons = rule.comparisons.iter();
    let comparisons = comparisons.map(|&comparison| {
        let narrow = abi.is_32_bit() || abi::is_int(name, comparison.argument);
        (comparison, narrow)
    });
    let arguments = rule
        .comparisons
        .iter()
        .fold(0_u8, |seen, comparison| seen | 1 << comparison.argument);
    if (arguments.count_ones() as usize) < rule.comparisons.len() {
        comparisons
            .map(|comparison| Alternative {
                comparisons: vec![comparison],
                action,
            })
            .collect()
    } else {
        vec![Alternative {
            comparisons: comparisons.collect(),
            action,
        }]
    }
}
