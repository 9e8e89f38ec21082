//! Connections to the engine, one for each request.

use std::io;
use std::sync::atomic::Ordering;

use hyper::Method;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use journey::Step;

use super::{Client, ClientError, RequestBody, Result, Target, collect, empty};
use crate::transport::{Connection, Transport};
use crate::{autostart, sys};

/// How many services may die under a client's first word before it gives up.
const GREETINGS: usize = 3;

impl Client {
    /// Whether an engine is there, without starting one.
    pub(crate) async fn is_served(&self) -> bool {
        self.host.transport.connect().await.is_ok()
    }

    /// A connection of one's own to the engine, which has answered a greeting.
    pub(crate) async fn dial(&self) -> Result<Connection> {
        if self.is_to_be_greeted() {
            drop(self.sender().await?);
        }
        self.connect().await
    }

    /// A connection for one request.
    ///
    /// A service that was killed a moment ago takes connections until the system has closed its socket, and answers
    /// none. So this user's own service is greeted once, and another is started where no answer comes: the request
    /// itself could not be sent a second time. Of an engine behind `ssh`, the greeting finds out which command reaches
    /// it.
    pub(super) async fn sender(&self) -> Result<SendRequest<RequestBody>> {
        let first = !self.answered.load(Ordering::Relaxed);
        let connecting = journey::begin();
        let sender = self.greeted().await;
        if first {
            connecting.ended(&sender, || Step::Connected {
                address: self.host.transport.address(),
            });
        }
        if sender.is_ok() {
            self.answered.store(true, Ordering::Relaxed);
        }
        sender
    }

    async fn greeted(&self) -> Result<SendRequest<RequestBody>> {
        if !self.is_to_be_greeted() {
            return self.open().await;
        }
        let mut attempt = 1;
        let mut without_docker = None;
        loop {
            let mut sender = self.open().await?;
            let error = match greet(&mut sender).await {
                Ok(()) => return Ok(sender),
                Err(error) => error,
            };
            match (&self.host.transport, &error) {
                (Transport::Ssh(ssh), ClientError::Ssh(exit)) if exit.found_no_command() => {
                    match without_docker.take() {
                        // Neither command is there: Docker's own error is the one to tell.
                        Some(first) => return Err(first),
                        None => ssh.ask_for_sampan(),
                    }
                    without_docker = Some(error);
                }
                (Transport::Ssh(_), _) => return Err(error),
                _ if attempt == GREETINGS => return Err(error),
                _ => attempt += 1,
            }
        }
    }

    fn is_to_be_greeted(&self) -> bool {
        let unsure = self.host.own || matches!(self.host.transport, Transport::Ssh(_));
        unsure && !self.answered.load(Ordering::Relaxed)
    }

    async fn open(&self) -> Result<SendRequest<RequestBody>> {
        let (sender, driver) = handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(driver.with_upgrades());
        Ok(sender)
    }

    /// Connects, starting this user's own service where it is not there.
    async fn connect(&self) -> Result<Connection> {
        let error = match self.host.transport.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        match &self.host.transport {
            Transport::Local(path) if self.host.own => match error.kind() {
                _ if sys::is_absent(&error) => {
                    let starting = autostart::connect(path);
                    let started = journey::measured(starting, |_| Step::ServiceStarted {
                        address: sys::address(path),
                    });
                    Ok(Box::new(started.await?))
                }
                // What connect(2) cannot be asked at all.
                io::ErrorKind::InvalidInput => Err(ClientError::LongPath(path.clone())),
                _ => Err(ClientError::Connect {
                    address: sys::address(path),
                    source: error,
                }),
            },
            transport => Err(ClientError::connecting(transport.address(), error)),
        }
    }
}

/// Has any answer from the engine, and leaves the connection free for a request.
async fn greet(sender: &mut SendRequest<RequestBody>) -> Result<()> {
    let ping = Client::request(Method::GET, &Target::new(&["_ping"]), empty())?;
    collect(sender.send_request(ping).await?).await?;
    Ok(sender.ready().await?)
}

#[cfg(all(test, unix))]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::host::Host;

    #[tokio::test]
    async fn a_service_that_dies_under_the_greeting_is_followed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sampan.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let service = tokio::spawn(async move {
            drop(listener.accept().await.unwrap());
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut asked = String::new();
            for body in ["OK", "[]"] {
                let mut request = [0; 1024];
                let length = connection.read(&mut request).await.unwrap();
                asked += String::from_utf8_lossy(&request[..length])
                    .lines()
                    .next()
                    .unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        let client = Client::new(Host {
            own: true,
            ..Host::of(Transport::Local(path))
        });
        let answer: Vec<u8> = client.get(&Target::new(&["containers", "json"])).await.unwrap();
        assert!(answer.is_empty());
        assert_eq!(
            service.await.unwrap(),
            "GET /_ping HTTP/1.1GET /containers/json HTTP/1.1"
        );
    }
}
