//! A named pipe whose access list names its owner alone.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};

use super::ListenError;

/// Full access for the owner, none for anybody else, nothing inherited (Security Descriptor Definition Language).
const OWNER_ONLY: &str = "D:P(A;;GA;;;OW)";

pub(crate) type Stream = NamedPipeServer;

/// A pipe that waits for clients.
#[derive(Debug)]
pub struct Listener {
    name: OsString,
    next: NamedPipeServer,
}

impl Listener {
    /// Listens at `path`, such as `\\.\pipe\sampan`. Must be called inside a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let name = path.as_os_str().to_owned();
        let next = instance(&name, true).map_err(|source| ListenError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { name, next })
    }

    /// The next client. The pipe's next instance exists before this one is handed out, so that a client that
    /// comes in between finds one.
    pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
        self.next.connect().await?;
        let next = instance(&self.name, false)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

#[allow(
    unsafe_code,
    reason = "a pipe's access list is passed as a raw security descriptor"
)]
fn instance(name: &OsString, first: bool) -> io::Result<NamedPipeServer> {
    let text: Vec<u16> = OWNER_ONLY.encode_utf16().chain([0]).collect();
    let mut descriptor: PSECURITY_DESCRIPTOR = std::ptr::null_mut();
    // SAFETY: `text` ends with a zero and outlives the call; `descriptor` is a valid place for the result, which
    // the system allocates; the size is not asked for.
    let converted = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &mut descriptor,
            std::ptr::null_mut(),
        )
    };
    if converted == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).map_err(io::Error::other)?,
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    };
    // SAFETY: `attributes` is initialized, holds a descriptor that the system made, and outlives the call.
    let created = unsafe {
        ServerOptions::new()
            .first_pipe_instance(first)
            .reject_remote_clients(true)
            .create_with_security_attributes_raw(name, (&raw mut attributes).cast())
    };
    // SAFETY: the descriptor came from the conversion above and is used no more.
    unsafe { LocalFree(descriptor) };
    created
}
