//! A manual-reset event object.
#![allow(unsafe_code, reason = "calls into Windows")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null;

use polling::os::iocp::PollerIocpExt;
use polling::{PollMode, Poller};
use windows_sys::Win32::Foundation::WAIT_OBJECT_0;
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForSingleObject,
};

#[derive(Debug)]
pub(crate) struct Signal(OwnedHandle);

impl Signal {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no security attributes and no name are given; manual reset, not signalled.
        let handle = unsafe { CreateEventW(null(), 1, 0, null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made and is owned by nobody else.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    pub(crate) fn set(&self) {
        // SAFETY: the handle is an event that lives as long as `self`.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }

    pub(crate) fn clear(&self) {
        // SAFETY: the handle is an event that lives as long as `self`.
        unsafe { ResetEvent(self.0.as_raw_handle()) };
    }

    pub(crate) fn wait(&self) -> io::Result<()> {
        // SAFETY: the handle is an event that lives as long as `self`.
        match unsafe { WaitForSingleObject(self.0.as_raw_handle(), INFINITE) } {
            WAIT_OBJECT_0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Makes `poller` report this event under `key` until it is cleared.
    pub(crate) fn register(&self, poller: &Poller, key: usize) -> io::Result<()> {
        // SAFETY: the wait holds a reference of its own on the event object, so a handle that is closed early costs
        // a stale report and no access to freed memory.
        unsafe { poller.add_waitable(&self.0, polling::Event::readable(key), PollMode::Level) }
    }
}
