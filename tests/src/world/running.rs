//! A running `sampan` with pipes for its streams, read as lines arrive.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Output;

/// The longest that any awaited thing may take, on the slowest kind of machine. Reaching it is a failure; nothing
/// is measured against it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A program in the background. Dropping it kills the program.
pub struct Running {
    child: Child,
    command: String,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let text = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let (sender, lines) = channel();
        let out = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut reader = BufReader::with_capacity(1 << 16, out);
            loop {
                let start = all.len();
                match reader.read_until(b'\n', &mut all) {
                    Ok(0) | Err(_) => return all,
                    Ok(_) => drop(sender.send(String::from_utf8_lossy(&all[start..]).trim_end().to_owned())),
                }
            }
        });
        let mut err = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut all = Vec::new();
            let _ = err.read_to_end(&mut all);
            all
        });
        let stdin = child.stdin.take();
        Self {
            child,
            command: text,
            stdin,
            lines,
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    /// Waits for a line of the standard output that contains the text.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("{} never printed {text:?}: {error}", self.command),
            }
        }
    }

    /// Writes to the program's input.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The program's input, for a thread of its own.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Closes the input and waits for the end; gives the raw standard output as well.
    pub fn finish_raw(mut self) -> (Output, Vec<u8>) {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let output = Output {
            command: self.command.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        (output, stdout)
    }

    /// Closes the input and waits for the end.
    pub fn finish(self) -> Output {
        self.finish_raw().0
    }
}

/// Reads one line of the program's output, closes the pipe as `head -n 1` does, and waits for the program's end.
pub fn first_line(mut command: Command) -> String {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    child.wait().unwrap();
    line
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
