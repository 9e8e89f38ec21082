//! How an engine is reached: by a socket or pipe of this computer, by TCP with or without TLS, or behind `ssh`.
//!
//! Whatever it is, it carries bytes both ways, and each way ends by itself: the end of a container's input leaves its
//! output open.

mod address;
mod ssh;
mod tcp;
mod tls;

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use address::{Address, AddressError};
pub(crate) use ssh::{Ssh, SshExit};
pub(crate) use tcp::Tcp;
pub(crate) use tls::{Material, TlsError, TlsFault, TlsOptions};

use crate::sys;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to an engine.
pub(crate) type Connection = Box<dyn Stream>;

/// A way to an engine.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// A unix socket or a named pipe.
    Local(PathBuf),
    Tcp(Tcp),
    Ssh(Ssh),
}

/// Why there is no way to an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}: protocol not available on this system: sampan reaches engines here at {here}, tcp:// and ssh://", here = sys::SCHEME)]
    NotHere(String),
}

impl Transport {
    /// The way to `address`. TLS is for TCP alone: a socket and `ssh` know who is there.
    pub(crate) fn new(address: Address, tls: Option<&TlsOptions>) -> Result<Self, TransportError> {
        Ok(match address {
            Address::Local(path) => Self::Local(path),
            Address::Elsewhere(address) => return Err(TransportError::NotHere(address)),
            Address::Tcp(address) => Self::Tcp(Tcp::new(address, tls)?),
            Address::Ssh(address) => Self::Ssh(Ssh::new(address)),
        })
    }

    /// Connects. Behind `ssh`, only the first read tells whether anybody is there.
    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        Ok(match self {
            Self::Local(path) => Box::new(sys::connect(path).await?),
            Self::Tcp(tcp) => tcp.connect().await?,
            Self::Ssh(ssh) => Box::new(ssh.connect()?),
        })
    }

    /// The address as Docker writes it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Local(path) => sys::address(path),
            Self::Tcp(tcp) => format!("tcp://{}{}", tcp.authority(), tcp.base()),
            Self::Ssh(ssh) => ssh.address(),
        }
    }
}
