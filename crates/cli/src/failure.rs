//! How a command ends when it does not end well: what is told on stderr, and the exit code.

use std::process::ExitCode;

use crate::client::ClientError;

/// The exit code for a failure before the container's own process had one.
pub(crate) const NO_CONTAINER: u8 = 125;
/// What a shell shows for a program that a closed pipe ended: 128 and SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// The end of a command that did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Told on stderr; empty when all was told already, or when the code says everything.
    pub(crate) message: String,
    pub(crate) code: u8,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    /// A container's own exit code, silently.
    pub(crate) fn exit(code: i64) -> Self {
        // Docker's own rule: the code as the operating system cuts it.
        Self {
            message: String::new(),
            code: u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        }
    }

    /// Whoever read stdout is gone: nothing is left to say to anybody.
    pub(crate) fn closed_pipe() -> Self {
        Self {
            message: String::new(),
            code: CLOSED_PIPE,
        }
    }

    /// The failure of `run` and `create`, with the way to their help.
    pub(crate) fn with_help(message: &str, command: &str, code: u8) -> Self {
        let message = format!("sampan: {message}\n\nRun 'sampan {command} --help' for more information");
        Self { message, code }
    }

    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            use std::io::Write;
            // With stderr gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::closed_pipe();
        }
        Self::new(error.to_string())
    }
}

/// The exit code of `run` for an error of the engine: a program that is not there is 127, one that may not be
/// executed 126, all else 125.
pub(crate) fn start_code(message: &str) -> u8 {
    let message = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&[
        "executable file not found",
        "no such file or directory",
        "system cannot find the file specified",
    ]) {
        127
    } else if says(&["permission denied", "is a directory"]) {
        126
    } else {
        NO_CONTAINER
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("exec: \"ls\": executable file not found in $PATH", 127)]
    #[case("exec: \"/x\": stat /x: no such file or directory", 127)]
    #[case("exec: \"/etc/passwd\": permission denied", 126)]
    #[case("exec: \"/etc\": is a directory", 126)]
    #[case("Conflict. The container name \"/a\" is already in use", 125)]
    fn the_code_of_a_failed_start_comes_from_the_text(#[case] message: &str, #[case] code: u8) {
        assert_eq!(start_code(message), code);
    }

    #[test]
    fn a_containers_code_is_cut_to_a_byte() {
        assert_eq!(Failure::exit(137).code, 137);
        assert_eq!(Failure::exit(-1).code, 255);
        assert_eq!(Failure::exit(256).code, 0);
    }
}
