//! `ssh://`: an engine behind the system's own `ssh` (docker/cli `cli/connhelper`).
//!
//! `ssh` runs `docker system dial-stdio` on the other side, which joins its stdin and stdout to the engine. Where the
//! shell there finds no `docker`, `sampan system dial-stdio` is asked for instead: a computer with sampan alone has a
//! Docker engine too. What `ssh` tells on stderr is kept, for it says why nothing came.

use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::address::SshAddress;
use crate::sys;

/// The exit status of a shell that did not find the command.
const NOT_FOUND: i32 = 127;
/// The end of stderr that is kept, in bytes.
const LONGEST_STDERR: usize = 4096;
/// How long `ssh` may take to end after the end of its output.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what it told before its end may still be on its way. A master process that it left in the background
/// (`ControlPersist`) holds stderr open for good.
const GRACE: Duration = Duration::from_secs(1);

/// A way to an engine behind `ssh`.
#[derive(Clone, Debug)]
pub(crate) struct Ssh {
    address: SshAddress,
    /// Whether the other side has no `docker`.
    sampan: Arc<AtomicBool>,
}

impl Ssh {
    pub(super) fn new(address: SshAddress) -> Self {
        Self {
            address,
            sampan: Arc::default(),
        }
    }

    pub(super) fn address(&self) -> String {
        let SshAddress {
            user,
            host,
            port,
            path,
        } = &self.address;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        format!(
            "ssh://{}{host}{}{}",
            user.as_ref().map(|user| format!("{user}@")).unwrap_or_default(),
            port.map(|port| format!(":{port}")).unwrap_or_default(),
            path.as_deref().unwrap_or_default(),
        )
    }

    /// From now on `sampan` is asked for on the other side.
    pub(crate) fn ask_for_sampan(&self) {
        self.sampan.store(true, Ordering::Relaxed);
    }

    /// The arguments of `ssh`.
    fn arguments(&self) -> Vec<String> {
        let SshAddress {
            user,
            host,
            port,
            path,
        } = &self.address;
        let mut arguments = Vec::new();
        if let Some(user) = user {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["-o", "ConnectTimeout=30", "-T", "--"].map(str::to_owned));
        arguments.push(host.clone());
        let program = if self.sampan.load(Ordering::Relaxed) {
            "sampan"
        } else {
            "docker"
        };
        arguments.push(program.to_owned());
        if let Some(path) = path {
            arguments.push(quoted(&format!("--host=unix://{path}")));
        }
        arguments.extend(["system", "dial-stdio"].map(str::to_owned));
        arguments
    }

    /// Starts `ssh`.
    pub(super) fn connect(&self) -> io::Result<Session> {
        let arguments = self.arguments();
        let mut command = std::process::Command::new("ssh");
        command.args(&arguments);
        // Ctrl-C is for the container, and not for its connection.
        sys::in_own_session(&mut command);
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    io::Error::other("exec: \"ssh\": executable file not found in $PATH")
                }
                _ => error,
            })?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let command = format!("ssh {}", arguments.join(" "));
        Ok(Session {
            stdin: Some(stdin),
            stdout,
            ending: end(child, Told::by(stderr), command).boxed(),
            ended: None,
        })
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=@%+,".contains(char);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How `ssh` ended when it did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "command [{command}] {ending}, make sure the URL is valid, and Docker 18.09 or later is installed on the remote \
     host: stderr={stderr}"
)]
pub(crate) struct SshExit {
    command: String,
    ending: String,
    code: Option<i32>,
    stderr: String,
}

impl SshExit {
    /// Whether the other side has no such command.
    pub(crate) fn found_no_command(&self) -> bool {
        self.code == Some(NOT_FOUND)
    }
}

/// Waits for the end of `ssh`, which has ended its output.
async fn end(mut child: Child, told: Told, command: String) -> Result<(), SshExit> {
    let (ending, code) = match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => (format!("has exited with {}", in_go(status)), status.code()),
        Ok(Err(error)) => (format!("cannot be waited for: {error}"), None),
        Err(_) => ("did not exit after the end of its output".to_owned(), None),
    };
    Err(SshExit {
        command,
        ending,
        code,
        stderr: told.text().await,
    })
}

/// An exit status in Go's words.
fn in_go(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

/// What `ssh` has told on stderr, which is read all the time, so that it never waits for room.
struct Told {
    end: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Told {
    fn by(stderr: ChildStderr) -> Self {
        let end = Arc::default();
        Self {
            reading: tokio::spawn(keep_end(stderr, Arc::clone(&end))),
            end,
        }
    }

    async fn text(mut self) -> String {
        // What is not here by then is not waited for.
        let _ = tokio::time::timeout(GRACE, &mut self.reading).await;
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let harmless = |char: &char| *char == '\n' || *char == '\t' || !char.is_control();
        let text: String = String::from_utf8_lossy(&end).chars().filter(harmless).collect();
        text.trim_end().to_owned()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn keep_end(mut stderr: ChildStderr, end: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        end.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let surplus = end.len().saturating_sub(LONGEST_STDERR);
        end.drain(..surplus);
    }
}

/// A running `ssh`. It ends with this.
pub(crate) struct Session {
    /// None after the half-close.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    ending: BoxFuture<'static, Result<(), SshExit>>,
    ended: Option<Result<(), SshExit>>,
}

impl Session {
    /// Waits for the end of `ssh`, of which the connection's end came.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = match &self.ended {
            Some(ended) => ended,
            None => {
                let ended = ready!(self.ending.poll_unpin(cx));
                self.ended.insert(ended)
            }
        };
        Poll::Ready(ended.clone().map_err(io::Error::other))
    }
}

impl AsyncRead for Session {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let session = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut session.stdout).poll_read(cx, buffer))?;
        if buffer.filled().len() > before || buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        session.poll_ended(cx)
    }
}

impl AsyncWrite for Session {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let session = self.get_mut();
        let Some(stdin) = &mut session.stdin else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        match ready!(Pin::new(stdin).poll_write(cx, bytes)) {
            // That nobody reads is told better by why `ssh` ended.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ready!(session.poll_ended(cx))?;
                Poll::Ready(Err(error))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// The half-close: `ssh` passes the end of its stdin on, and output goes on.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = self.get_mut();
        if let Some(stdin) = &mut session.stdin {
            // One that is gone has nothing left to flush.
            let _ = ready!(Pin::new(stdin).poll_flush(cx));
            session.stdin = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::transport::Address;

    fn ssh(address: &str) -> Ssh {
        match Address::parse(address).unwrap() {
            Address::Ssh(address) => Ssh::new(address),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case("ssh://far", "-o ConnectTimeout=30 -T -- far docker system dial-stdio")]
    #[case(
        "ssh://me@far:2222",
        "-l me -p 2222 -o ConnectTimeout=30 -T -- far docker system dial-stdio"
    )]
    #[case(
        "ssh://far/run/x.sock",
        "-o ConnectTimeout=30 -T -- far docker --host=unix:///run/x.sock system dial-stdio"
    )]
    #[case(
        "ssh://far/it's",
        r"-o ConnectTimeout=30 -T -- far docker '--host=unix:///it'\''s' system dial-stdio"
    )]
    fn ssh_gets_dockers_arguments(#[case] address: &str, #[case] arguments: &str) {
        let ssh = ssh(address);
        assert_eq!(ssh.arguments().join(" "), arguments);
        assert_eq!(ssh.address(), address);
    }

    #[test]
    fn sampan_takes_dockers_place_once_it_is_asked_for_and_in_every_copy() {
        let ssh = ssh("ssh://far/x");
        ssh.clone().ask_for_sampan();
        let arguments = ssh.arguments().join(" ");
        assert!(
            arguments.ends_with("-- far sampan --host=unix:///x system dial-stdio"),
            "{arguments}"
        );
    }
}
