//! AF_VSOCK connections to the host (virtio 1.3, section 5.10; vsock(7)).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::check;

/// Connects to a port of the host and blocks until that is done.
pub(crate) fn connect(port: u32) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::VSOCK,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    dial(&socket, port)?;
    Ok(socket)
}

/// Begins to connect to a port of the host. The non-blocking socket is writable once that is done; sending
/// before that fails with ENOTCONN.
pub(crate) fn begin_connect(port: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?;
    match dial(&socket, port) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

#[allow(unsafe_code, reason = "rustix has no address type for vsock")]
fn dial(socket: &OwnedFd, port: u32) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sockaddr_vm`.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = protocol::HOST_CID;
    address.svm_port = port;
    let length = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    // SAFETY: the address is a `sockaddr_vm` of this length.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) }.into()).map(drop)
}
