//! What a client sends behind the end of an archive.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The most that is read, in bytes, as Go's servers do.
const LONGEST: u64 = 256 << 10;
/// How long that may take.
pub(crate) const REST_PATIENCE: Duration = Duration::from_secs(5);

/// Reads what is left, in bounds: whoever worked on an archive stops at its end mark, and a client that cannot send
/// what pads it takes that for an error.
pub async fn drain(rest: impl AsyncRead + Unpin) {
    let (mut rest, mut sink) = (rest.take(LONGEST), tokio::io::sink());
    let reading = tokio::io::copy(&mut rest, &mut sink);
    let _ = tokio::time::timeout(REST_PATIENCE, reading).await;
}
