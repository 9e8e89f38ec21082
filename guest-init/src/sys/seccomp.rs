//! seccomp(2), `SECCOMP_SET_MODE_FILTER`.

use std::io;

use protocol::SeccompProgram;

use super::check;

/// Installs one filter on this process, for good. Needs CAP_SYS_ADMIN or no-new-privileges.
#[allow(unsafe_code, reason = "seccomp takes a struct with a raw pointer")]
pub(crate) fn install(program: &SeccompProgram) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .0
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog {
        len: length,
        filter: filter.as_mut_ptr(),
    };
    // As runc: a filter alone is no reason to switch the slow mitigation of speculative store bypass on.
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the program points to `len` instructions; the kernel copies and checks them.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
    .map(drop)
}
