//! Windows: AF_UNIX sockets, which tokio does not drive, over blocking threads.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

use super::Memory;

pub(crate) type ReadHalf = DuplexStream;
pub(crate) type WriteHalf = DuplexStream;

/// Bytes in flight between a socket's thread and the engine, each way.
const BUFFER: usize = 64 << 10;

/// A local socket that accepts streams. Its file stays when it is dropped: by then the path may already be
/// the next machine's. Its accepting thread ends with the next connection, or with the process.
#[derive(Debug)]
pub(crate) struct Listener {
    accepted: Mutex<mpsc::Receiver<(ReadHalf, WriteHalf)>>,
}

impl Listener {
    /// Listens at `path`, in the place of what an earlier process left there. The caller holds the lock that
    /// tells that this process is gone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(128)?;
        let (sender, accepted) = mpsc::channel(1);
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("vsock-accept".to_owned())
            .spawn(move || {
                while let Ok((stream, _)) = socket.accept() {
                    let Ok(halves) = bridge(&runtime, stream) else {
                        continue;
                    };
                    if sender.blocking_send(halves).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            accepted: Mutex::new(accepted),
        })
    }

    /// The next connection. Safe to cancel.
    pub(crate) async fn accept(&self) -> io::Result<(ReadHalf, WriteHalf)> {
        self.accepted
            .lock()
            .await
            .recv()
            .await
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Two threads carry one socket's bytes, with each end of stream as a half-close.
fn bridge(runtime: &Handle, socket: Socket) -> io::Result<(ReadHalf, WriteHalf)> {
    let (incoming, mut to_engine) = tokio::io::duplex(BUFFER);
    let (outgoing, mut from_engine) = tokio::io::duplex(BUFFER);
    let mut reader = socket.try_clone()?;
    let mut writer = socket;
    let handle = runtime.clone();
    std::thread::Builder::new()
        .name("vsock-read".to_owned())
        .spawn(move || {
            let mut buffer = vec![0; BUFFER];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let Some(bytes) = buffer.get(..count) else { return };
                if handle.block_on(to_engine.write_all(bytes)).is_err() {
                    return;
                }
            }
            let _ = handle.block_on(to_engine.shutdown());
        })?;
    let handle = runtime.clone();
    std::thread::Builder::new()
        .name("vsock-write".to_owned())
        .spawn(move || {
            let mut buffer = vec![0; BUFFER];
            while let Ok(count @ 1..) = handle.block_on(from_engine.read(&mut buffer)) {
                let Some(bytes) = buffer.get(..count) else { return };
                if writer.write_all(bytes).is_err() {
                    return;
                }
            }
            let _ = writer.shutdown(Shutdown::Write);
        })?;
    Ok((incoming, outgoing))
}

/// The longest path of a local socket in bytes: `sun_path` less its NUL.
pub(crate) const fn socket_path_limit() -> usize {
    107
}

/// Makes a folder, and those above it. The user's profile folder, where it lies, is the user's alone already.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// The user's profile folder has its own access list; it is not looked into.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    std::fs::metadata(path).map(|_| true)
}

/// NTFS journals names itself; a folder cannot be flushed.
pub(crate) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Not looked at on Windows.
pub(crate) fn free_disk_bytes(_path: &Path) -> Option<u64> {
    None
}

/// Children of a service have no console to get signals from.
pub(crate) fn prepare_child(_command: &mut tokio::process::Command) {}

/// The hypervisor is a library here, not a file.
pub(crate) fn hypervisor_node() -> Option<(&'static str, io::Result<()>)> {
    None
}

/// The system's name; Windows tells its version to those programs only that say which ones they know.
pub(crate) fn system() -> (String, String) {
    ("Windows".to_owned(), std::env::consts::ARCH.to_owned())
}

/// Not looked at on Windows.
pub(crate) fn memory() -> Option<Memory> {
    None
}

/// The length: how much of a sparse file is there is not looked at on Windows.
pub(crate) fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}
