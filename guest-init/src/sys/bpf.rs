//! bpf(2): loading programs for cgroups, and attaching them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::check;

// linux/bpf.h.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
pub(crate) const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
pub(crate) const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The head of `union bpf_attr` for BPF_PROG_LOAD. The kernel takes what is not passed for zero.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    program_flags: u32,
    program_name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// One instruction (linux/bpf.h, `struct bpf_insn`): opcode, destination, source, jump offset, constant.
pub(crate) fn instruction(opcode: u8, destination: u8, source: u8, offset: i16, constant: u32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = constant.to_le_bytes();
    u64::from_le_bytes([opcode, (source << 4) | destination, low, high, a, b, c, d])
}

/// The head of `union bpf_attr` for BPF_PROG_ATTACH.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program (`BPF_PROG_TYPE_…`) for a place (`BPF_CGROUP_…`): each instruction in its 8-byte form.
#[allow(unsafe_code, reason = "bpf takes a struct of addresses")]
pub(crate) fn load_program(program_type: u32, attach_type: u32, instructions: &[u64]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        program_type,
        instruction_count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        program_flags: 0,
        program_name: [0; 16],
        interface: 0,
        attach_type,
    };
    // SAFETY: the addresses point to `instruction_count` instructions and to a NUL-terminated text; the kernel
    // reads both during the call and verifies the program.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of::<LoadAttributes>(),
        )
    })?;
    // SAFETY: a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

/// Attaches a program to a cgroup, given by its directory, at the place that it was loaded for.
#[allow(unsafe_code, reason = "bpf has no safe wrapper")]
pub(crate) fn attach_program(cgroup: impl AsFd, program: impl AsFd, attach_type: u32) -> io::Result<()> {
    let attributes = AttachAttributes {
        target: cgroup.as_fd().as_raw_fd().cast_unsigned(),
        program: program.as_fd().as_raw_fd().cast_unsigned(),
        attach_type,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the attributes are valid for their length and hold no addresses.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attributes,
            size_of::<AttachAttributes>(),
        )
    })
    .map(drop)
}
