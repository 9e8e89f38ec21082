//! Terminals by termios(3), signals, unix sockets and sessions.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use futures_util::future::{FutureExt, select_all};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A connection to the engine.
pub(crate) type Connection = UnixStream;

/// The service's socket in its home folder.
pub(crate) fn socket_path(home: &Path) -> PathBuf {
    home.join("sampan.sock")
}

/// How an engine's address is written.
pub(crate) fn address(path: &Path) -> String {
    format!("unix://{}", path.display())
}

/// What addresses of this system's sockets begin with.
pub(crate) const SCHEME: &str = "unix://";

/// The path in an address of this system's kind.
pub(crate) fn parse_address(address: &str) -> Option<PathBuf> {
    address.strip_prefix(SCHEME).map(PathBuf::from)
}

/// Connects to the engine.
pub(crate) async fn connect(path: &Path) -> io::Result<Connection> {
    UnixStream::connect(path).await
}

/// Whether the error of [`connect`] means that no service is there: no socket, or one that nobody serves.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// Leaves the terminal's session, so that neither its end nor its Ctrl-C reaches this process.
pub(crate) fn leave_session() -> io::Result<()> {
    rustix::process::setsid().map(drop).map_err(io::Error::from)
}

/// Nothing is to be prepared: the child leaves the session itself.
pub(crate) fn detached(command: &mut std::process::Command) -> &mut std::process::Command {
    command
}

/// Makes a command run in a session of its own, so that the terminal's Ctrl-C does not reach it.
#[allow(unsafe_code, reason = "between fork and exec only what is safe there may run")]
pub(crate) fn in_own_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: setsid(2) is async-signal-safe, and nothing else is called there: no memory is taken, no lock.
    unsafe {
        command.pre_exec(leave_session);
    }
}

/// Points stdout at nothing: whoever read it has heard enough.
pub(crate) fn silence_stdout() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null).map_err(io::Error::from)
}

/// Gives this process as many file descriptors as the system lets it have.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // macOS refuses "unlimited"; the default is then what there is.
    if setrlimit(Resource::Nofile, limit).is_err() {
        tracing::debug!("the limit of file descriptors stays as it is");
    }
}

/// What a file takes on the disk, which for one with holes is less than its length.
pub(crate) fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata).saturating_mul(512)
}

/// The terminal's rows and columns.
pub(crate) fn window_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout().as_fd())
        .or_else(|_| tcgetwinsize(io::stdin().as_fd()))
        .ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A terminal's settings from before.
#[derive(Clone, Debug)]
pub(crate) struct SavedTerminal(Termios);

/// Makes the terminal on stdin pass every key on as it is typed; gives what to go back to.
pub(crate) fn make_raw() -> io::Result<SavedTerminal> {
    let stdin = io::stdin();
    let saved = tcgetattr(stdin.as_fd())?;
    let mut raw = saved.clone();
    raw.make_raw();
    tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
    Ok(SavedTerminal(saved))
}

/// Makes the terminal on stdin show nothing of what is typed; gives what to go back to.
pub(crate) fn stop_echo() -> io::Result<SavedTerminal> {
    let stdin = io::stdin();
    let saved = tcgetattr(stdin.as_fd())?;
    let mut silent = saved.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // What was typed before the prompt is thrown away: the screen has shown it.
    tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent)?;
    Ok(SavedTerminal(saved))
}

/// Goes back to the settings from before.
pub(crate) fn restore(saved: &SavedTerminal) {
    // A terminal that is gone needs no restoring.
    let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &saved.0);
}

/// The signals that a client passes on to its container. A closed pipe, children, urgent data and the window's
/// size are the client's own.
const PROXIED: [(SignalKind, &str); 10] = [
    (SignalKind::interrupt(), "INT"),
    (SignalKind::terminate(), "TERM"),
    (SignalKind::hangup(), "HUP"),
    (SignalKind::quit(), "QUIT"),
    (SignalKind::user_defined1(), "USR1"),
    (SignalKind::user_defined2(), "USR2"),
    (SignalKind::alarm(), "ALRM"),
    (SignalKind::from_raw(CONT), "CONT"),
    (SignalKind::from_raw(TSTP), "TSTP"),
    (SignalKind::from_raw(TTOU), "TTOU"),
];
const CONT: i32 = rustix::process::Signal::CONT.as_raw();
const TSTP: i32 = rustix::process::Signal::TSTP.as_raw();
const TTOU: i32 = rustix::process::Signal::TTOU.as_raw();

/// The signals that came for this process; while this lives they do not end it.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(Signal, &'static str)>);

impl Signals {
    pub(crate) fn all() -> io::Result<Self> {
        let caught = PROXIED
            .iter()
            .map(|(kind, name)| signal(*kind).map(|stream| (stream, *name)));
        caught.collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// What ends a service.
    pub(crate) fn ending() -> io::Result<Self> {
        let caught = PROXIED
            .iter()
            .take(2)
            .map(|(kind, name)| signal(*kind).map(|stream| (stream, *name)));
        caught.collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// The next signal, by its name without `SIG`.
    pub(crate) async fn next(&mut self) -> &'static str {
        let waits = self
            .0
            .iter_mut()
            .map(|(stream, name)| stream.recv().map(|_| *name).boxed());
        select_all(waits).await.0
    }
}

/// Changes of the terminal's size.
#[derive(Debug)]
pub(crate) struct Resizes(Signal);

impl Resizes {
    pub(crate) fn new() -> io::Result<Self> {
        signal(SignalKind::window_change()).map(Self)
    }

    /// The next change.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Makes the folder its owner's alone.
pub(crate) fn private(builder: &mut std::fs::DirBuilder) -> &mut std::fs::DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700)
}
