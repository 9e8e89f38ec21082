//! What a finished program left.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Both streams and the status of a finished program.
pub struct Output {
    pub command: String,
    /// The exit code, unless a signal ended the program.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs the command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            command: format!("{command:?}"),
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The program ended with this exit code.
    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The text is somewhere in the standard output.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "{text:?} is missing in the output of {self}"
        );
        self
    }

    /// The text is somewhere in the standard error.
    #[track_caller]
    pub fn warns(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} is missing in the errors of {self}"
        );
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ended with code {:?}, signal {:?}",
            self.command, self.code, self.signal
        )?;
        write!(f, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}
