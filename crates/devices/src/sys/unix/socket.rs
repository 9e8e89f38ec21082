//! Sockets to and from guest memory without a copy in between.

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

use super::vector::vectors;
use crate::queue::RingSlice;

/// Room for a scatter-gather list, kept between calls.
#[derive(Default)]
pub(crate) struct Scratch(Vec<libc::iovec>);

/// Without it a write to a program that is gone would raise SIGPIPE.
pub(crate) const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;

/// Receives into guest memory; `Ok(0)` is the end of the stream.
#[allow(
    unsafe_code,
    reason = "std's readv wants exclusive slices, guest memory is shared with the guest"
)]
pub(crate) fn receive(socket: &Socket, slices: &[RingSlice<'_>], scratch: &mut Scratch) -> io::Result<usize> {
    let vectors = vectors(slices, &mut scratch.0);
    // SAFETY: every vector is guest memory that `slices` borrows for the call, and at most IOV_MAX are passed.
    let count = unsafe { libc::readv(socket.as_raw_fd(), vectors.as_ptr(), vectors.len() as libc::c_int) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Sends from guest memory; returns how many bytes went.
#[allow(
    unsafe_code,
    reason = "std's writev wants immutable slices, guest memory may change under it"
)]
pub(crate) fn send(socket: &Socket, slices: &[RingSlice<'_>], scratch: &mut Scratch) -> io::Result<usize> {
    let vectors = vectors(slices, &mut scratch.0);
    // SAFETY: all zeroes is a valid empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_ptr().cast_mut();
    message.msg_iovlen = vectors.len() as _;
    // SAFETY: every vector is guest memory that `slices` borrows for the call; sendmsg only reads it.
    let count = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, SEND_FLAGS) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
