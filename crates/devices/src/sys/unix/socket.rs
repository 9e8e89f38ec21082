//! Sockets to and from guest memory without a copy in between.

use std::io;
use std::os::fd::AsRawFd;

use polling::{Event, PollMode, Poller};
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

/// What to watch a socket for whose bytes are wanted (`reading`) or that did not take all (`writing`). Edges are
/// reported here, so an unwanted byte costs one report and reading need not be switched off.
pub(crate) fn interest(_reading: bool, writing: bool) -> (bool, bool) {
    (true, writing)
}

/// Starts to report what `interest` names. The caller calls [`forget`] before it drops the socket.
#[allow(unsafe_code, reason = "polling asks for a promise on the socket's lifetime")]
pub(crate) fn watch(socket: &Socket, poller: &Poller, interest: Event) -> io::Result<()> {
    // SAFETY: a socket that is closed early leaves the kernel's list by itself; no memory is tied to it.
    unsafe { poller.add_with_mode(socket, interest, PollMode::Edge) }
}

/// Changes what is reported.
pub(crate) fn rewatch(socket: &Socket, poller: &Poller, interest: Event) -> io::Result<()> {
    poller.modify_with_mode(socket, interest, PollMode::Edge)
}

/// Ends the reports.
pub(crate) fn forget(socket: &Socket, poller: &Poller) -> io::Result<()> {
    poller.delete(socket)
}
