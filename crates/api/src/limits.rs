//! What one client may ask of the server.

use std::time::Duration;

/// The longest request head (request line and headers) in bytes.
pub(crate) const HEAD: usize = 64 << 10;
/// The most headers of a request.
pub(crate) const HEADERS: usize = 128;
/// The longest JSON body in bytes.
pub(crate) const JSON_BODY: usize = 4 << 20;
/// Bytes of a request's body that are still read after its handler has answered without them, as Go's servers do.
pub(crate) const UNREAD: usize = 256 << 10;
/// How long such a body is waited for.
pub(crate) const UNREAD_TIME: Duration = Duration::from_secs(2);
/// Connections at once, those taken over for streams among them; more wait in the socket's backlog.
pub(crate) const CONNECTIONS: usize = 2048;
/// How long a connection may take to send a whole request head, its idle time before it included.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes read at once from a connection that carries a stream.
pub(crate) const STREAM_READ: usize = 64 << 10;
/// Messages of a streamed answer that wait for a slow client.
pub(crate) const QUEUE: usize = 64;
/// The longest message of a client that is attached over a WebSocket, and the longest frame of one, in bytes.
pub(crate) const WEBSOCKET_MESSAGE: usize = 1 << 20;
/// Bytes that are read from such a client, and written to it, at once.
pub(crate) const WEBSOCKET_BUFFER: usize = 64 << 10;
/// Bytes on their way to such a client: one piece of output as text, which may be three times as long, and more.
pub(crate) const WEBSOCKET_BACKLOG: usize = 512 << 10;
/// How long such a client may take to answer a close.
pub(crate) const WEBSOCKET_FAREWELL: Duration = Duration::from_secs(5);
