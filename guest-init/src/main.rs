//! The entry point of the guest's one binary.
//!
//! It is C's `main` and not Rust's: the standard library's start-up opens /dev/null for standard streams that
//! are closed and aborts when it cannot. The kernel starts PID 1 without a console, with every stream closed
//! and before anything is mounted on /dev.
#![no_main]

use std::ffi::{CStr, CString, c_char, c_int};

/// What the C runtime calls.
#[allow(
    unsafe_code,
    reason = "the C runtime hands the arguments over as raw pointers"
)]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, vector: *const *const c_char) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let arguments: Vec<CString> = (0..count)
        .map(|index| {
            // SAFETY: C11 5.1.2.2.1: `vector` holds `count` pointers to NUL-terminated strings that live as
            // long as the program.
            unsafe { CStr::from_ptr(*vector.add(index)) }.to_owned()
        })
        .collect();
    guest_init::main(&arguments)
}
