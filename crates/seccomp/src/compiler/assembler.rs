//! Classic BPF as seccomp takes it (kernel: Documentation/networking/filter.rst, linux/filter.h), written from
//! the end to the beginning: BPF only jumps forward, so every target is there before the jump to it.

use std::collections::BTreeMap;

type Instruction = (u16, u8, u8, u32);

/// Offsets in `struct seccomp_data`.
pub(crate) const DATA_NUMBER: u32 = 0;
pub(crate) const DATA_ARCHITECTURE: u32 = 4;

/// The offset of the lower half of an argument on a little-endian machine.
pub(crate) fn argument(index: u8) -> u32 {
    16 + 8 * u32::from(index)
}

/// BPF_LD | BPF_W | BPF_ABS.
const LOAD: u16 = 0x20;
/// BPF_ALU | BPF_AND | BPF_K.
const AND: u16 = 0x54;
/// BPF_RET | BPF_K.
const RETURN: u16 = 0x06;
/// BPF_JMP | BPF_JA.
const JUMP: u16 = 0x05;

/// Compares the accumulator with a constant, unsigned.
#[derive(Clone, Copy)]
pub(crate) enum Jump {
    Equal,
    Greater,
    GreaterOrEqual,
}

impl Jump {
    /// BPF_JMP | BPF_JEQ (JGT, JGE) | BPF_K.
    const fn code(self) -> u16 {
        match self {
            Self::Equal => 0x15,
            Self::Greater => 0x25,
            Self::GreaterOrEqual => 0x35,
        }
    }
}

/// An instruction, by how many come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A program that grows at its beginning. Each call puts one instruction, and what it needs to reach its
/// targets, before all others.
#[derive(Default)]
pub(crate) struct Assembler {
    /// The last instruction first.
    reversed: Vec<Instruction>,
    /// The foremost return of each value.
    returns: BTreeMap<u32, Label>,
}

impl Assembler {
    /// Ends with a value.
    pub(crate) fn give_back(&mut self, value: u32) -> Label {
        match self.returns.get(&value) {
            Some(&label) if self.distance(label) <= Self::NEAR => label,
            _ => {
                let label = self.push((RETURN, 0, 0, value));
                self.returns.insert(value, label);
                label
            }
        }
    }

    /// Loads a word of `seccomp_data` and goes on.
    pub(crate) fn load(&mut self, offset: u32, then: Label) -> Label {
        self.go_on(then);
        self.push((LOAD, 0, 0, offset))
    }

    /// Masks the accumulator and goes on.
    pub(crate) fn mask(&mut self, mask: u32, then: Label) -> Label {
        self.go_on(then);
        self.push((AND, 0, 0, mask))
    }

    /// Compares the accumulator and goes on here or there.
    pub(crate) fn branch(&mut self, jump: Jump, value: u32, yes: Label, no: Label) -> Label {
        let yes = self.bring_near(yes);
        let no = self.bring_near(no);
        let (yes, no) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push((jump.code(), yes, no, value))
    }

    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// How far a branch reaches, less one for what [`Assembler::bring_near`] may put between.
    const NEAR: usize = u8::MAX as usize - 1;

    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len() - 1)
    }

    /// The instructions that a jump has to skip which is put before all others.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len().saturating_sub(label.0 + 1)
    }

    /// A label within reach of the next branch that does the same.
    fn bring_near(&mut self, label: Label) -> Label {
        if self.distance(label) <= Self::NEAR {
            return label;
        }
        match self.reversed.get(label.0) {
            Some(&(RETURN, _, _, value)) => self.give_back(value),
            _ => self.jump(label),
        }
    }

    /// Makes the next instruction put before all others fall through to this one.
    fn go_on(&mut self, label: Label) {
        if self.distance(label) > 0 {
            self.jump(label);
        }
    }

    fn jump(&mut self, label: Label) -> Label {
        let distance = self.distance(label) as u32;
        self.push((JUMP, 0, 0, distance))
    }
}
