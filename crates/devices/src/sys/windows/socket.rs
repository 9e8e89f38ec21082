//! Sockets to and from guest memory without a copy in between.
#![allow(unsafe_code, reason = "calls into Winsock")]

use std::io;
use std::os::windows::io::AsRawSocket;
use std::ptr::null_mut;

use socket2::Socket;
use windows_sys::Win32::Networking::WinSock::{SOCKET, WSABUF, WSARecv, WSASend};

use crate::queue::RingSlice;

const MAX_BUFFERS: usize = 1024;

/// Room for a scatter-gather list, kept between calls.
#[derive(Default)]
pub(crate) struct Scratch(Vec<WSABUF>);

impl Scratch {
    fn fill(&mut self, slices: &[RingSlice<'_>]) -> &[WSABUF] {
        self.0.clear();
        self.0.extend(slices.iter().take(MAX_BUFFERS).map(|slice| WSABUF {
            len: u32::try_from(slice.len()).unwrap_or(u32::MAX),
            buf: slice.ptr_guard_mut().as_ptr(),
        }));
        &self.0
    }
}

/// Receives into guest memory; `Ok(0)` is the end of the stream.
pub(crate) fn receive(socket: &Socket, slices: &[RingSlice<'_>], scratch: &mut Scratch) -> io::Result<usize> {
    let buffers = scratch.fill(slices);
    let (mut count, mut flags) = (0, 0);
    // SAFETY: every buffer is guest memory that `slices` borrows for the call, which is not overlapped.
    let result = unsafe {
        WSARecv(
            socket.as_raw_socket() as SOCKET,
            buffers.as_ptr(),
            buffers.len() as u32,
            &mut count,
            &mut flags,
            null_mut(),
            None,
        )
    };
    if result == 0 {
        Ok(count as usize)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends from guest memory; returns how many bytes went.
pub(crate) fn send(socket: &Socket, slices: &[RingSlice<'_>], scratch: &mut Scratch) -> io::Result<usize> {
    let buffers = scratch.fill(slices);
    let mut count = 0;
    // SAFETY: every buffer is guest memory that `slices` borrows for the call, which is not overlapped.
    let result = unsafe {
        WSASend(
            socket.as_raw_socket() as SOCKET,
            buffers.as_ptr(),
            buffers.len() as u32,
            &mut count,
            0,
            null_mut(),
            None,
        )
    };
    if result == 0 {
        Ok(count as usize)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends have no flags here.
pub(crate) const SEND_FLAGS: i32 = 0;
