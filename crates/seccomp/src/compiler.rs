//! From a profile to a program: for each ABI the decision for every number, then a binary search over the
//! numbers with the decisions as leaves.
//!
//! No argument is loaded before the number is decided. So the kernel, which runs the filter once for every
//! number when it is installed (kernel/seccomp.c, "action cache"), sees that most calls are always allowed and
//! never runs the filter for them again.

mod assembler;
mod decision;
#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;

use protocol::SeccompProgram;

use assembler::{Assembler, DATA_ARCHITECTURE, DATA_NUMBER, Jump, Label};
use decision::{Alternative, Decision, Range};

use crate::action::Action;
use crate::profile::{Comparison, Machine, Operator, Profile};

/// The kernel's limit for one program (BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// A profile cannot be turned into a program that the kernel takes.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error(
        "the seccomp profile takes {0} instructions and the kernel runs at most {MAX_INSTRUCTIONS}: \
         use fewer rules that compare arguments"
    )]
    TooLarge(usize),
}

pub(crate) fn compile(profile: &Profile, machine: &Machine) -> Result<Vec<SeccompProgram>, CompileError> {
    let programs = programs(profile, machine);
    match programs
        .iter()
        .map(|program| program.0.len())
        .find(|&length| length > MAX_INSTRUCTIONS)
    {
        Some(length) => Err(CompileError::TooLarge(length)),
        None => Ok(programs),
    }
}

/// The programs, however long.
pub(crate) fn programs(profile: &Profile, machine: &Machine) -> Vec<SeccompProgram> {
    let Some(default) = profile.default else {
        return Vec::new();
    };
    let mut assembler = Assembler::default();
    let mut next = assembler.give_back(Action::KillProcess.encode());
    // Backwards, so that the kernel's own ABI is tried first.
    for abi in profile.abis(machine.architecture).into_iter().rev() {
        let ranges = decision::ranges(profile, default, machine, abi);
        let search = search(&mut assembler, &ranges);
        let number = assembler.load(DATA_NUMBER, search);
        next = assembler.branch(Jump::Equal, abi.audit_number(), number, next);
    }
    assembler.load(DATA_ARCHITECTURE, next);
    vec![SeccompProgram(assembler.finish())]
}

/// Finds the range that the number in the accumulator is in.
fn search(assembler: &mut Assembler, ranges: &[Range]) -> Label {
    match ranges {
        // There is always a range from 0 on.
        [] => assembler.give_back(Action::KillProcess.encode()),
        [range] => decide(assembler, &range.decision),
        _ => {
            let (lower, upper) = ranges.split_at(ranges.len() / 2);
            let first = upper.first().map_or(0, |range| range.first);
            let upper = search(assembler, upper);
            let lower = search(assembler, lower);
            assembler.branch(Jump::GreaterOrEqual, first, upper, lower)
        }
    }
}

fn decide(assembler: &mut Assembler, decision: &Decision) -> Label {
    let mut next = assembler.give_back(decision.otherwise.encode());
    for Alternative { comparisons, action } in decision.alternatives.iter().rev() {
        let failed = next;
        next = assembler.give_back(action.encode());
        for &(comparison, narrow) in comparisons.iter().rev() {
            next = compare(assembler, comparison, narrow, next, failed);
        }
    }
    next
}

/// Compares an argument, which lies in `seccomp_data` as a little-endian word of 64 bits. `narrow` leaves the
/// upper half out.
fn compare(
    assembler: &mut Assembler,
    Comparison {
        argument,
        operator,
        value,
    }: Comparison,
    narrow: bool,
    holds: Label,
    fails: Label,
) -> Label {
    let low = assembler::argument(argument);
    let high = low + 4;
    let (value_low, value_high) = (value as u32, (value >> 32) as u32);
    let (jump, yes, no) = match operator {
        Operator::MaskedEqual(mask) => {
            let matched = assembler.branch(Jump::Equal, value_low, holds, fails);
            let masked = assembler.mask(mask as u32, matched);
            let lower = assembler.load(low, masked);
            let mask_high = (mask >> 32) as u32;
            if narrow || (mask_high == 0 && value_high == 0) {
                return lower;
            }
            let matched = assembler.branch(Jump::Equal, value_high, lower, fails);
            let masked = assembler.mask(mask_high, matched);
            return assembler.load(high, masked);
        }
        Operator::Equal => (Jump::Equal, holds, fails),
        Operator::NotEqual => (Jump::Equal, fails, holds),
        Operator::Less => (Jump::GreaterOrEqual, fails, holds),
        Operator::GreaterOrEqual => (Jump::GreaterOrEqual, holds, fails),
        Operator::LessOrEqual => (Jump::Greater, fails, holds),
        Operator::Greater => (Jump::Greater, holds, fails),
    };
    let decided = assembler.branch(jump, value_low, yes, no);
    let lower = assembler.load(low, decided);
    if narrow {
        return lower;
    }
    // Unequal upper halves decide; only equal ones leave it to the lower.
    let decided = assembler.branch(Jump::Equal, value_high, lower, no);
    let decided = match jump {
        Jump::Equal => decided,
        Jump::Greater | Jump::GreaterOrEqual => assembler.branch(Jump::Greater, value_high, yes, decided),
    };
    assembler.load(high, decided)
}
