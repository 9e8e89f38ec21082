//! A `sampan` on a terminal: typed into, and read as a person would.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use super::running::PATIENCE;

/// A program on a pseudo-terminal of 24 rows and 80 columns. Dropping it kills the program.
pub struct Terminal {
    pty: Arc<Mutex<Pty>>,
    child: Child,
    arrived: Receiver<Vec<u8>>,
    screen: String,
    /// How much of `screen` earlier waits have passed.
    seen: usize,
}

impl Terminal {
    pub fn start(program: &Path, arguments: &[OsString], environment: &[(&str, &OsStr)]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let mut command = Command::new(program).args(arguments).env("TERM", "xterm");
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let child = command.spawn(pts).unwrap();
        let reader = rustix::io::dup(&pty).unwrap();
        let (sender, arrived) = channel();
        std::thread::spawn(move || {
            let mut reader = std::fs::File::from(reader);
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            pty: Arc::new(Mutex::new(pty)),
            child,
            arrived,
            screen: String::new(),
            seen: 0,
        }
    }

    /// Types the text; `\r` is the Enter key, `\x03` Ctrl-C, `\x04` Ctrl-D.
    pub fn type_text(&mut self, text: &str) {
        self.pty.lock().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Makes the window this large.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.pty.lock().unwrap().resize(Size::new(rows, columns)).unwrap();
    }

    /// Waits until the text shows, after what earlier waits saw.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(position) = self.screen[self.seen..].find(text) {
                self.seen += position + text.len();
                return;
            }
            match self.arrived.recv_timeout(PATIENCE) {
                Ok(bytes) => self.screen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{text:?} never showed ({error}) on the screen:\n{}", self.screen),
            }
        }
    }

    /// Waits for the end; gives the exit code and all that showed.
    pub fn finish(mut self) -> (Option<i32>, String) {
        loop {
            match self.arrived.recv_timeout(PATIENCE) {
                Ok(bytes) => self.screen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on and on; the screen:\n{}", self.screen),
            }
        }
        let status = self.child.wait().unwrap();
        (status.code(), std::mem::take(&mut self.screen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
