//! A unix socket of mode 0600.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::ListenError;

/// The length of `sockaddr_un.sun_path` less its terminating zero, in bytes.
const LONGEST: usize = if cfg!(target_os = "macos") { 103 } else { 107 };
/// The suffix under which the socket is made before it takes its name.
const UNFINISHED: &str = ".new";

pub(crate) type Stream = UnixStream;

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`. The caller holds the lock of the folder, so a socket that is there belongs to nobody
    /// and is replaced; anything else is left alone. Must be called inside a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Io {
            path: path.to_owned(),
            source,
        };
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        let length = unfinished.len();
        if length > LONGEST {
            return Err(ListenError::TooLong {
                path: path.to_owned(),
                length,
                limit: LONGEST,
            });
        }
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket(path.to_owned()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // It takes its name only once it is closed to others.
        let socket = UnixListener::bind(&unfinished).map_err(failed)?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o600)).map_err(failed)?;
        fs::rename(&unfinished, path).map_err(failed)?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }

    /// The next client.
    pub(crate) async fn accept(&mut self) -> io::Result<Stream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket's file was gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_admits_its_owner_only_and_replaces_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (client, server) = tokio::join!(UnixStream::connect(&path), listener.accept());
        client.unwrap();
        server.unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&path), Err(ListenError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_path_that_does_not_fit_says_what_to_do() {
        let path = Path::new("/tmp").join("x".repeat(120));
        let error = Listener::bind(&path).unwrap_err().to_string();
        assert!(error.contains("SAMPAN_HOME"), "{error}");
    }
}
