//! Requests to a world's service as bytes on its socket (RFC 9112), so that a scenario can send what no well-made
//! client would, and stop reading when it likes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use tokio_tungstenite::tungstenite::{self, WebSocket};

use super::World;
use super::running::PATIENCE;

/// A connection to the service. Dropping it closes it.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl World {
    /// A new connection; a service that does not run yet is started.
    pub fn connect(&self) -> Connection {
        Connection {
            stream: BufReader::new(self.dial()),
        }
    }

    fn dial(&self) -> UnixStream {
        let socket = self.home().join("sampan.sock");
        let stream = UnixStream::connect(&socket).unwrap_or_else(|_| {
            self.ok(["ps"]);
            UnixStream::connect(&socket).unwrap()
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A WebSocket (RFC 6455) on a connection of its own.
    pub fn websocket(&self, path: &str) -> WebSocket<UnixStream> {
        let (socket, _) = tungstenite::client(format!("ws://sampan{path}"), self.dial()).unwrap();
        socket
    }

    /// One request without a body on a connection of its own.
    pub fn request(&self, method: &str, path: &str) -> Answer {
        let mut connection = self.connect();
        connection.send_head(method, path, "Content-Length: 0\r\n");
        connection.answer()
    }

    /// One request with a JSON body.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        let body = body.to_string();
        let mut connection = self.connect();
        let headers = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        connection.send_head("POST", path, &headers);
        connection.send(body.as_bytes()).unwrap();
        connection.answer()
    }
}

impl Connection {
    /// Sends a request's head; the connection ends with the answer.
    pub fn send_head(&mut self, method: &str, path: &str, headers: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: sampan\r\nConnection: close\r\n{headers}\r\n");
        self.send(head.as_bytes()).unwrap();
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the service has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one line, without its end; `None` after the last.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) => panic!("no line came: {error}"),
        }
    }

    /// Reads the status line and the headers, up to the body.
    pub fn status(&mut self) -> u16 {
        let line = self
            .line()
            .expect("the service closed the connection without an answer");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("this is no status line: {line:?}"));
        while self.line().is_some_and(|header| !header.is_empty()) {}
        status
    }

    /// Reads a whole answer, up to the end of the connection. A body that is sent in chunks keeps their marks.
    pub fn answer(mut self) -> Answer {
        let status = self.status();
        let mut body = Vec::new();
        // A service that refuses a body may close before it has read all of it, which resets the connection.
        let _ = self.stream.read_to_end(&mut body);
        Answer {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

impl Answer {
    /// The status is this one.
    #[track_caller]
    pub fn has_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// The text is somewhere in the body.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.body.contains(text), "{text:?} is missing in {:?}", self.body);
        self
    }
}
