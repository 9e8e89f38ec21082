//! Which devices a container may open or make: a BPF program on its cgroup
//! (Documentation/admin-guide/cgroup-v2.rst, "Device controller"; linux/bpf.h, `struct bpf_cgroup_dev_ctx`).
//!
//! The program is a list of rules in their order; the first that matches allows, and the end refuses.

use std::os::fd::OwnedFd;

use crate::failure::{Context, Outcome};
use crate::sys::bpf::{self, instruction};

/// BPF_DEVCG_ACC_MKNOD, …_READ, …_WRITE.
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

/// BPF_DEVCG_DEV_BLOCK and …_CHAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block = 1,
    Character = 2,
}

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    kind: Kind,
    /// `None` is every number.
    major: Option<u32>,
    minor: Option<u32>,
    /// BPF_DEVCG_ACC_… bits.
    access: u32,
}

impl Rule {
    /// Every device there is.
    pub(crate) fn everything() -> Vec<Self> {
        let all = |kind| Self {
            kind,
            major: None,
            minor: None,
            access: ALL,
        };
        vec![all(Kind::Character), all(Kind::Block)]
    }

    /// A rule for devices of these numbers, where `None` is every one. `access` is some of `rwm`.
    pub(crate) fn new(kind: Kind, major: Option<u32>, minor: Option<u32>, access: &str) -> Self {
        let bits = access.chars().fold(0, |bits, letter| {
            bits | match letter {
                'm' => MKNOD,
                'r' => READ,
                'w' => WRITE,
                _ => 0,
            }
        });
        Self {
            kind,
            major,
            minor,
            access: bits,
        }
    }
}

/// What every container may: runc's list (libcontainer/specconv, `AllowedDevices`), which is Docker's too.
const DEFAULTS: [Rule; 11] = {
    const fn character(major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
        Rule {
            kind: Kind::Character,
            major,
            minor,
            access,
        }
    }
    [
        character(None, None, MKNOD),
        Rule {
            kind: Kind::Block,
            major: None,
            minor: None,
            access: MKNOD,
        },
        // null, zero, full, random, urandom
        character(Some(1), Some(3), ALL),
        character(Some(1), Some(5), ALL),
        character(Some(1), Some(7), ALL),
        character(Some(1), Some(8), ALL),
        character(Some(1), Some(9), ALL),
        // tty, ptmx
        character(Some(5), Some(0), ALL),
        character(Some(5), Some(2), ALL),
        // /dev/pts/*
        character(Some(136), None, ALL),
        // net/tun
        character(Some(10), Some(200), ALL),
    ]
};

/// Loads the program that allows the defaults and these.
pub(crate) fn load(extra: &[Rule]) -> Outcome<OwnedFd> {
    let rules: Vec<Rule> = DEFAULTS.iter().chain(extra).copied().collect();
    bpf::load_program(
        bpf::BPF_PROG_TYPE_CGROUP_DEVICE,
        bpf::BPF_CGROUP_DEVICE,
        &program(&rules),
    )
    .context(|| "the device rules could not be loaded".to_owned())
}

/// The program. Registers: 2 type, 3 access, 4 major, 5 minor, 6 scratch.
fn program(rules: &[Rule]) -> Vec<u64> {
    const LOAD_WORD: u8 = 0x61;
    const AND: u8 = 0x54;
    const SHIFT_RIGHT: u8 = 0x74;
    const MOVE: u8 = 0xb4;
    const MOVE_REGISTER: u8 = 0xbc;
    const JUMP_UNLESS: u8 = 0x56;
    const EXIT: u8 = 0x95;
    let mut code = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        // Each check jumps over the rest of its rule: register, the value it must have, and an AND before it.
        let mut checks: Vec<(Option<u32>, u8, u32)> = vec![(None, 2, rule.kind as u32)];
        if rule.access != ALL {
            // Whatever is asked beyond what the rule gives is left over.
            checks.push((Some(!rule.access & ALL), 6, 0));
        }
        checks.extend(rule.major.map(|major| (None, 4, major)));
        checks.extend(rule.minor.map(|minor| (None, 5, minor)));
        let lengths = checks
            .iter()
            .map(|(mask, ..)| if mask.is_some() { 3i16 } else { 1 });
        let mut left: i16 = lengths.sum::<i16>().saturating_add(2);
        for (mask, register, value) in checks {
            if let Some(mask) = mask {
                code.push(instruction(MOVE_REGISTER, register, 3, 0, 0));
                code.push(instruction(AND, register, 0, 0, mask));
                left = left.saturating_sub(2);
            }
            left = left.saturating_sub(1);
            code.push(instruction(JUMP_UNLESS, register, 0, left, value));
        }
        code.push(instruction(MOVE, 0, 0, 0, 1));
        code.push(instruction(EXIT, 0, 0, 0, 0));
    }
    code.push(instruction(MOVE, 0, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0, 0));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Executes the few instructions that [`program`] uses.
    fn decide(code: &[u64], kind: Kind, access: u32, major: u32, minor: u32) -> u32 {
        let context = [(access << 16) | kind as u32, major, minor];
        let mut registers = [0u32; 11];
        let mut at = 0usize;
        loop {
            let [opcode, regs, low, high, a, b, c, d] = code[at].to_le_bytes();
            let (destination, source) = (usize::from(regs & 15), usize::from(regs >> 4));
            let offset = i16::from_le_bytes([low, high]);
            let constant = u32::from_le_bytes([a, b, c, d]);
            at += 1;
            match opcode {
                0x61 => registers[destination] = context[usize::try_from(offset).unwrap() / 4],
                0x54 => registers[destination] &= constant,
                0x74 => registers[destination] >>= constant,
                0xb4 => registers[destination] = constant,
                0xbc => registers[destination] = registers[source],
                0x56 if registers[destination] != constant => at += usize::try_from(offset).unwrap(),
                0x56 => {}
                0x95 => return registers[0],
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    #[test]
    fn the_default_rules_allow_null_and_refuse_a_disk() {
        let code = program(&DEFAULTS);
        assert_eq!(decide(&code, Kind::Character, READ | WRITE, 1, 3), 1);
        assert_eq!(decide(&code, Kind::Character, READ, 136, 77), 1);
        assert_eq!(decide(&code, Kind::Block, MKNOD, 254, 0), 1);
        assert_eq!(decide(&code, Kind::Block, READ, 254, 0), 0);
        assert_eq!(decide(&code, Kind::Character, READ, 1, 1), 0);
        assert_eq!(decide(&code, Kind::Character, MKNOD | READ, 1, 1), 0);
    }

    #[test]
    fn a_rule_without_a_number_is_about_every_one() {
        let code = program(&[Rule::new(Kind::Character, Some(42), None, "rwm")]);
        assert_eq!(decide(&code, Kind::Character, ALL, 42, 7), 1);
        assert_eq!(decide(&code, Kind::Character, ALL, 43, 7), 0);
    }

    #[test]
    fn a_rule_gives_the_access_that_it_names_and_no_more() {
        let code = program(&[Rule::new(Kind::Block, Some(8), Some(1), "r")]);
        assert_eq!(decide(&code, Kind::Block, READ, 8, 1), 1);
        assert_eq!(decide(&code, Kind::Block, WRITE, 8, 1), 0);
        assert_eq!(decide(&code, Kind::Block, READ | WRITE, 8, 1), 0);
        assert_eq!(decide(&code, Kind::Block, READ, 8, 2), 0);
        assert_eq!(decide(&code, Kind::Character, READ, 8, 1), 0);
    }
}
