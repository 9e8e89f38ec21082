//! The resolver's port: programs ask 127.0.0.11 at port 53, and the resolver listens on another, so that a container
//! can have a name server of its own on port 53. BPF programs on the container's cgroup swap the two where a socket
//! connects (over TCP as over UDP), sends and receives (linux/bpf.h, BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_UDP4_SENDMSG and
//! BPF_CGROUP_UDP4_RECVMSG, on `struct bpf_sock_addr`).

use std::os::fd::BorrowedFd;

use crate::failure::{Context, Outcome};
use crate::sys::bpf::{self, instruction};

// linux/bpf.h
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;
const BPF_CGROUP_UDP4_SENDMSG: u32 = 14;
const BPF_CGROUP_UDP4_RECVMSG: u32 = 19;
/// `user_ip4` and `user_port` of `struct bpf_sock_addr`.
const USER_IP4: i16 = 4;
const USER_PORT: i16 = 24;

/// Where programs ask.
pub(super) const ADDRESS: [u8; 4] = [127, 0, 0, 11];
const PORT: u16 = 53;

/// Swaps the ports for everything in a cgroup.
pub(crate) fn attach(cgroup: BorrowedFd<'_>, port: u16) -> Outcome<()> {
    let there = program(PORT, port);
    let back = program(port, PORT);
    for (code, kind) in [
        (&there, BPF_CGROUP_INET4_CONNECT),
        (&there, BPF_CGROUP_UDP4_SENDMSG),
        (&back, BPF_CGROUP_UDP4_RECVMSG),
    ] {
        let what = || "the way to the resolver".to_owned();
        let loaded = bpf::load_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, kind, code).context(what)?;
        bpf::attach_program(cgroup, &loaded, kind).context(what)?;
    }
    Ok(())
}

/// Puts `to` in the place of the port `from` of the resolver's address.
fn program(from: u16, to: u16) -> Vec<u64> {
    const LOAD_WORD: u8 = 0x61;
    const STORE_WORD: u8 = 0x63;
    const MOVE: u8 = 0xb4;
    const JUMP_UNLESS: u8 = 0x56;
    const EXIT: u8 = 0x95;
    // Both fields are in network byte order, the port in the lower half of its word.
    let address = u32::from_ne_bytes(ADDRESS);
    let port = |port: u16| u32::from(port.to_be());
    vec![
        instruction(LOAD_WORD, 2, 1, USER_IP4, 0),
        instruction(JUMP_UNLESS, 2, 0, 4, address),
        instruction(LOAD_WORD, 2, 1, USER_PORT, 0),
        instruction(JUMP_UNLESS, 2, 0, 2, port(from)),
        instruction(MOVE, 2, 0, 0, port(to)),
        instruction(STORE_WORD, 1, 2, USER_PORT, 0),
        instruction(MOVE, 0, 0, 0, 1),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_programs() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for kind in [
            BPF_CGROUP_INET4_CONNECT,
            BPF_CGROUP_UDP4_SENDMSG,
            BPF_CGROUP_UDP4_RECVMSG,
        ] {
            match bpf::load_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, kind, &program(53, 4053)) {
                Ok(_) => {}
                // A computer that lets nobody load any.
                Err(error) => assert!(
                    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)),
                    "{error}"
                ),
            }
        }
    }
}
