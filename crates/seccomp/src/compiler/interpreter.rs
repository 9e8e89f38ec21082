//! The kernel's view of a program, for tests: its checks (seccomp_check_filter, bpf_check_classic) and its run.

use protocol::SeccompProgram;

/// A system call as a filter sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) architecture: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    /// A word of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(8) => self.arguments[(offset as usize - 16) / 8] as u32,
            16..64 if offset % 8 == 4 => (self.arguments[(offset as usize - 16) / 8] >> 32) as u32,
            _ => panic!("a load at {offset}"),
        }
    }
}

/// Panics unless the kernel would take the program.
pub(crate) fn check(program: &SeccompProgram) {
    let instructions = &program.0;
    assert!(
        (1..=4096).contains(&instructions.len()),
        "{} instructions",
        instructions.len()
    );
    for (at, &(code, yes, no, value)) in instructions.iter().enumerate() {
        let left = instructions.len() - at - 1;
        match code {
            0x20 => assert!(value < 64 && value.is_multiple_of(4)),
            0x54 | 0x06 => {}
            0x05 => assert!((value as usize) < left),
            0x15 | 0x25 | 0x35 => assert!(usize::from(yes.max(no)) < left),
            _ => panic!("instruction {code:#x}"),
        }
    }
    assert_eq!(
        instructions.last().map(|last| last.0),
        Some(0x06),
        "the last instruction returns"
    );
}

/// What the filter returns, and whether it looked at an argument.
pub(crate) fn run(program: &SeccompProgram, call: &Call) -> (u32, bool) {
    let (mut at, mut accumulator, mut looked) = (0, 0, false);
    loop {
        let (code, yes, no, value) = program.0[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { yes } else { no });
        match code {
            0x20 => {
                looked |= value >= 16;
                accumulator = call.word(value);
            }
            0x54 => accumulator &= value,
            0x06 => return (value, looked),
            0x05 => at += value as usize,
            0x15 => at += jump(accumulator == value),
            0x25 => at += jump(accumulator > value),
            0x35 => at += jump(accumulator >= value),
            _ => panic!("instruction {code:#x}"),
        }
    }
}
