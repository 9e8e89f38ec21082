//! Windows: consoles, console events, named pipes and detached processes.

use std::io;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close};
use windows_sys::Win32::Foundation::{ERROR_PIPE_BUSY, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Console::{
    CONSOLE_MODE, CONSOLE_SCREEN_BUFFER_INFO, ENABLE_ECHO_INPUT, ENABLE_PROCESSED_OUTPUT,
    ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode,
    GetConsoleScreenBufferInfo, GetStdHandle, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
    SetConsoleMode,
};
use windows_sys::Win32::System::Pipes::WaitNamedPipeW;
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS};

/// What the operating system calls itself in `sampan version`.
pub(crate) const OS: &str = "windows";

/// A connection to the engine.
pub(crate) type Connection = NamedPipeClient;

/// How long a client waits for a busy pipe, in milliseconds.
const PIPE_WAIT_MS: u32 = 10_000;

/// The folder of a user's data.
pub(crate) fn data_folder() -> Option<PathBuf> {
    std::env::var_os("LOCALAPPDATA").map(PathBuf::from)
}

/// The length: how much of a sparse file is there is not looked at on Windows.
pub(crate) fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

/// The service's pipe; a home folder of its own has a pipe of its own.
pub(crate) fn socket_path(home: &Path) -> PathBuf {
    let default = data_folder().map(|folder| folder.join("sampan"));
    let user = std::env::var("USERNAME").unwrap_or_default();
    let mut name = format!(r"\\.\pipe\sampan-{user}");
    if default.as_deref() != Some(home) {
        name.push('-');
        name.extend(
            home.to_string_lossy()
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '_' }),
        );
    }
    PathBuf::from(name)
}

/// How an engine's address is written.
pub(crate) fn address(path: &Path) -> String {
    format!("npipe://{}", path.display().to_string().replace('\\', "/"))
}

/// What addresses of this system's pipes begin with.
pub(crate) const SCHEME: &str = "npipe://";

/// The path in an address of this system's kind.
pub(crate) fn parse_address(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix(SCHEME)?;
    Some(PathBuf::from(path.replace('/', "\\")))
}

/// Connects to the engine, waiting while all instances of its pipe are taken.
pub(crate) async fn connect(path: &Path) -> io::Result<Connection> {
    match ClientOptions::new().open(path) {
        Err(error) if error.raw_os_error() == i32::try_from(ERROR_PIPE_BUSY).ok() => {
            let name = path.as_os_str().to_owned();
            tokio::task::spawn_blocking(move || wait_for_pipe(&name))
                .await
                .map_err(io::Error::other)??;
            ClientOptions::new().open(path)
        }
        opened => opened,
    }
}

#[allow(
    unsafe_code,
    reason = "a system call that waits for a free instance of a pipe"
)]
fn wait_for_pipe(name: &std::ffi::OsStr) -> io::Result<()> {
    use std::os::windows::ffi::OsStrExt;
    let name: Vec<u16> = name.encode_wide().chain([0]).collect();
    // SAFETY: `name` ends with a zero and outlives the call.
    let free = unsafe { WaitNamedPipeW(name.as_ptr(), PIPE_WAIT_MS) };
    if free == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Whether the error of [`connect`] means that no service is there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// A process that was created detached has no console to leave.
pub(crate) fn leave_session() -> io::Result<()> {
    Ok(())
}

/// Makes a command's process outlive this one's console.
pub(crate) fn detached(command: &mut std::process::Command) -> &mut std::process::Command {
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP)
}

/// Makes a command a process group of its own, so that the console's Ctrl-C does not reach it.
pub(crate) fn in_own_session(command: &mut std::process::Command) {
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

/// Nothing is written to stdout any more, and a pipe that nobody reads disturbs nobody.
pub(crate) fn silence_stdout() -> io::Result<()> {
    Ok(())
}

/// Handles are not limited.
pub(crate) fn raise_descriptor_limit() {}

/// The console window's rows and columns.
#[allow(unsafe_code, reason = "a system call that fills in a struct")]
pub(crate) fn window_size() -> Option<(u16, u16)> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: `info` is a valid place for the result; an invalid handle is an error, which is checked.
    let done = unsafe { GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &mut info) };
    if done == 0 {
        return None;
    }
    let span = |from: i16, to: i16| u16::try_from(i32::from(to) - i32::from(from) + 1).ok();
    Some((
        span(info.srWindow.Top, info.srWindow.Bottom)?,
        span(info.srWindow.Left, info.srWindow.Right)?,
    ))
}

/// The console's modes from before.
#[derive(Clone, Debug)]
pub(crate) struct SavedTerminal {
    input: CONSOLE_MODE,
    output: CONSOLE_MODE,
}

/// Makes the console pass every key on as it is typed; gives what to go back to.
pub(crate) fn make_raw() -> io::Result<SavedTerminal> {
    let saved = SavedTerminal {
        input: mode(STD_INPUT_HANDLE)?,
        output: mode(STD_OUTPUT_HANDLE)?,
    };
    set_mode(STD_INPUT_HANDLE, ENABLE_VIRTUAL_TERMINAL_INPUT)?;
    set_mode(
        STD_OUTPUT_HANDLE,
        saved.output | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING,
    )?;
    Ok(saved)
}

/// Makes the console show nothing of what is typed; gives what to go back to.
pub(crate) fn stop_echo() -> io::Result<SavedTerminal> {
    let saved = SavedTerminal {
        input: mode(STD_INPUT_HANDLE)?,
        output: mode(STD_OUTPUT_HANDLE)?,
    };
    set_mode(STD_INPUT_HANDLE, saved.input & !ENABLE_ECHO_INPUT)?;
    Ok(saved)
}

/// Goes back to the modes from before.
pub(crate) fn restore(saved: &SavedTerminal) {
    // A console that is gone needs no restoring.
    let _ = set_mode(STD_INPUT_HANDLE, saved.input);
    let _ = set_mode(STD_OUTPUT_HANDLE, saved.output);
}

#[allow(unsafe_code, reason = "a system call that fills in a number")]
fn mode(handle: STD_HANDLE) -> io::Result<CONSOLE_MODE> {
    let mut mode = 0;
    // SAFETY: `mode` is a valid place for the result; an invalid handle is an error, which is checked.
    let done = unsafe {
        let handle = GetStdHandle(handle);
        if handle == INVALID_HANDLE_VALUE {
            0
        } else {
            GetConsoleMode(handle, &mut mode)
        }
    };
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(mode)
    }
}

#[allow(unsafe_code, reason = "a system call that takes a number")]
fn set_mode(handle: STD_HANDLE, mode: CONSOLE_MODE) -> io::Result<()> {
    // SAFETY: no memory is passed; an invalid handle is an error, which is checked.
    let done = unsafe { SetConsoleMode(GetStdHandle(handle), mode) };
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The console events that came for this process, under the names of the signals that they mean.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: CtrlC,
    quit: CtrlBreak,
    close: CtrlClose,
}

impl Signals {
    pub(crate) fn all() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            quit: ctrl_break()?,
            close: ctrl_close()?,
        })
    }

    /// What ends a service.
    pub(crate) fn ending() -> io::Result<Self> {
        Self::all()
    }

    /// The next signal, by its name without `SIG`.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "INT",
            _ = self.quit.recv() => "TERM",
            _ = self.close.recv() => "TERM",
        }
    }
}

/// Changes of the console's size. The console tells them only among its input records, which a client that
/// reads bytes does not see: the size is that of the start.
#[derive(Debug)]
pub(crate) struct Resizes;

impl Resizes {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Never.
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}

/// A user's own folders are that user's alone.
pub(crate) fn private(builder: &mut std::fs::DirBuilder) -> &mut std::fs::DirBuilder {
    builder
}
