//! What one client may ask of the server.

use std::time::Duration;

/// The longest request head (request line and headers) in bytes.
pub(crate) const HEAD: usize = 64 << 10;
/// The most headers of a request.
pub(crate) const HEADERS: usize = 128;
/// The longest JSON body in bytes.
pub(crate) const JSON_BODY: usize = 4 << 20;
/// Connections at once, those taken over for streams among them; more wait in the socket's backlog.
pub(crate) const CONNECTIONS: usize = 2048;
/// How long a connection may take to send a whole request head, its idle time before it included.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes read at once from a connection that carries a stream.
pub(crate) const STREAM_READ: usize = 64 << 10;
/// Messages of a streamed answer that wait for a slow client.
pub(crate) const QUEUE: usize = 64;
