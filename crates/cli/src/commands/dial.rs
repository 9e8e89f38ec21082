//! `system dial-stdio`: the engine at the other end of stdin and stdout, for a client that came by `ssh`.

use tokio::io::AsyncWriteExt;

use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::session;

/// Carries bytes until the engine has nothing more to say. The end of stdin is passed on, and output goes on.
pub(crate) async fn run(client: &Client) -> Result<()> {
    let connection = client
        .dial()
        .await
        .map_err(|error| Failure::new(format!("failed to open the raw stream connection: {error}")))?;
    let (mut reader, writer) = tokio::io::split(connection);
    let mut stdout = tokio::io::stdout();
    tokio::select! {
        copied = tokio::io::copy(&mut reader, &mut stdout) => {
            copied?;
            Ok(stdout.flush().await?)
        }
        () = session::send_input(writer, None) => Ok(()),
    }
}
