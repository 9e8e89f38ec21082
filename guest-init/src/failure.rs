//! Turns system call errors into the [`Failure`]s that the host shows to the user.

use std::io;

use protocol::{Failure, FailureKind};
use rustix::io::Errno;

/// The result of everything that can be answered with a failure.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// A failure of this kind.
pub(crate) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}

/// Bytes of a text that is told: it has to fit a message.
const LONGEST: usize = 8 << 10;

/// A failure with a text of bounded length.
pub(crate) fn shortened(mut failure: Failure) -> Failure {
    if failure.message.len() > LONGEST {
        let end = (0..=LONGEST)
            .rev()
            .find(|end| failure.message.is_char_boundary(*end));
        failure.message.truncate(end.unwrap_or(0));
        failure.message.push('…');
    }
    failure
}

/// A request that contradicts itself or asks for what cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    failure(FailureKind::Invalid, message)
}

/// Says what was being done when a system call failed.
pub(crate) trait Context<T> {
    /// `what` reads as the beginning of "…: no such file or directory".
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T> Context<T> for Result<T, Errno> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|errno| failure(kind_of(errno), format!("{}: {}", what(), text_of(errno))))
    }
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => failure(kind_of(errno), format!("{}: {}", what(), text_of(errno))),
            None => failure(FailureKind::Internal, format!("{}: {error}", what())),
        })
    }
}

/// Exhaustion is told apart, because the user can do something about it.
fn kind_of(errno: Errno) -> FailureKind {
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::AGAIN => {
            FailureKind::Exhausted
        }
        _ => FailureKind::Internal,
    }
}

/// The text of an error as Docker prints it: Go's table, which is lower-case and differs from musl's.
pub(crate) fn text_of(errno: Errno) -> String {
    let text = match errno {
        Errno::TOOBIG => "argument list too long",
        Errno::ACCESS => "permission denied",
        Errno::AGAIN => "resource temporarily unavailable",
        Errno::BUSY => "device or resource busy",
        Errno::EXIST => "file exists",
        Errno::INVAL => "invalid argument",
        Errno::IO => "input/output error",
        Errno::ISDIR => "is a directory",
        Errno::LOOP => "too many levels of symbolic links",
        Errno::NAMETOOLONG => "file name too long",
        Errno::NOENT => "no such file or directory",
        Errno::NOEXEC => "exec format error",
        Errno::NOMEM => "cannot allocate memory",
        Errno::NOSPC => "no space left on device",
        Errno::NOTDIR => "not a directory",
        Errno::PERM => "operation not permitted",
        Errno::ROFS => "read-only file system",
        Errno::TXTBSY => "text file busy",
        _ => {
            let text = io::Error::from(errno).to_string().to_lowercase();
            return text.split(" (os error").next().unwrap_or(&text).to_owned();
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_call_error_reads_as_in_docker() {
        let result: Outcome<()> = Err(Errno::NOENT).context(|| "stat /x".to_owned());
        assert_eq!(result.unwrap_err().message, "stat /x: no such file or directory");
    }

    #[test]
    fn a_full_disk_is_told_apart_from_other_errors() {
        let result: Outcome<()> = Err(Errno::NOSPC).context(|| "mkdir /data/x".to_owned());
        assert_eq!(result.unwrap_err().kind, FailureKind::Exhausted);
    }

    #[test]
    fn an_error_without_a_text_of_its_own_has_no_number_in_it() {
        assert!(!text_of(Errno::CONNRESET).contains("os error"));
    }
}
