//! `tcp://`: an engine at a port, with or without TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::TcpAddress;
use super::{Connection, TlsError, TlsOptions};

/// Docker's port without TLS.
const PLAIN: u16 = 2375;
/// Docker's port with TLS.
const ENCRYPTED: u16 = 2376;
/// How long a connection may take to come about, its TLS included.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a silent connection waits before it asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A way to an engine at a port.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    host: String,
    port: u16,
    base: String,
    tls: Option<Tls>,
}

/// How it is spoken to, and the name that its certificate has to have.
#[derive(Clone, Debug)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tcp {
    pub(super) fn new(address: TcpAddress, options: Option<&TlsOptions>) -> Result<Self, TlsError> {
        let tls = match options {
            None => None,
            Some(options) => Some(Tls {
                config: options.config()?,
                name: ServerName::try_from(address.host.clone())
                    .map_err(|_| TlsError::Name(address.host.clone()))?,
            }),
        };
        let default = if tls.is_some() { ENCRYPTED } else { PLAIN };
        Ok(Self {
            host: address.host,
            port: address.port.unwrap_or(default),
            base: address.base,
            tls,
        })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What all paths begin with.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let opened = tokio::time::timeout(PATIENCE, self.open()).await;
        opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.config));
                Box::new(connector.connect(tls.name.clone(), stream).await?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: Option<u16>, options: Option<&TlsOptions>) -> Tcp {
        let address = TcpAddress {
            host: host.to_owned(),
            port,
            base: String::new(),
        };
        Tcp::new(address, options).unwrap()
    }

    #[test]
    fn the_default_port_is_dockers_with_and_without_tls() {
        assert_eq!(tcp("far", None, None).authority(), "far:2375");
        let options = TlsOptions {
            skip_verify: true,
            ..TlsOptions::default()
        };
        assert_eq!(tcp("far", None, Some(&options)).authority(), "far:2376");
        assert_eq!(tcp("::1", Some(1), None).authority(), "[::1]:1");
    }
}
