//! Finding the program of a process: `$PATH` as Go's exec.LookPath reads it, which decides the texts that
//! Docker's users see.

use std::path::{Path, PathBuf};

use protocol::{Failure, FailureKind};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;

use crate::failure::{Outcome, failure, text_of};

/// The path to execute for `name`, with the `PATH` of the process's environment.
pub(super) fn find(name: &str, path: &str) -> Outcome<PathBuf> {
    if name.contains('/') {
        return executable(Path::new(name))
            .map(|()| PathBuf::from(name))
            .map_err(|problem| problem.failure(name));
    }
    if !name.is_empty() {
        for directory in path.split(':') {
            let directory = if directory.is_empty() { "." } else { directory };
            let candidate = Path::new(directory).join(name);
            if executable(&candidate).is_ok() {
                // Go refuses what it finds by a relative entry, because the current directory is no safe place.
                if candidate.is_absolute() {
                    return Ok(candidate);
                }
                let text =
                    format!("exec: {name:?}: cannot run executable found relative to current directory");
                return Err(failure(FailureKind::ProgramNotExecutable, text));
            }
        }
    }
    let text = format!("exec: {name:?}: executable file not found in $PATH");
    Err(failure(FailureKind::ProgramNotFound, text))
}

/// Why a file is no program.
struct Problem {
    errno: Errno,
    /// Whether it is the file's status that could not be had.
    no_status: bool,
}

impl Problem {
    fn failure(&self, name: &str) -> Failure {
        let reason = text_of(self.errno);
        let stat = if self.no_status {
            format!("stat {name}: ")
        } else {
            String::new()
        };
        let kind = match self.errno {
            Errno::NOENT | Errno::NOTDIR => FailureKind::ProgramNotFound,
            _ => FailureKind::ProgramNotExecutable,
        };
        failure(kind, format!("exec: {name:?}: {stat}{reason}"))
    }
}

fn executable(path: &Path) -> Result<(), Problem> {
    let status = stat(path).map_err(|errno| Problem {
        errno,
        no_status: true,
    })?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        return Err(Problem {
            errno: Errno::ISDIR,
            no_status: false,
        });
    }
    // The real and the effective user are the same by now.
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).map_err(|errno| Problem {
        errno,
        no_status: false,
    })
}

/// The failure of execve(2) itself, which comes after all checks: a wrong architecture, a missing interpreter.
pub(super) fn not_executed(program: &Path, error: &std::io::Error) -> Failure {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let kind = match errno {
        Errno::NOENT | Errno::NOTDIR => FailureKind::ProgramNotFound,
        Errno::NOMEM | Errno::AGAIN => FailureKind::Exhausted,
        _ => FailureKind::ProgramNotExecutable,
    };
    failure(kind, format!("exec {}: {}", program.display(), text_of(errno)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_missing_program_is_told_in_dockers_words() {
        let text = |name| find(name, "/nowhere:/bin-that-is-not").unwrap_err();
        assert_eq!(
            text("ls").message,
            "exec: \"ls\": executable file not found in $PATH"
        );
        assert_eq!(text("ls").kind, FailureKind::ProgramNotFound);
        assert_eq!(
            text("/x").message,
            "exec: \"/x\": stat /x: no such file or directory"
        );
        assert_eq!(text("/etc").message, "exec: \"/etc\": is a directory");
        assert_eq!(text("/etc").kind, FailureKind::ProgramNotExecutable);
        assert_eq!(text("").message, "exec: \"\": executable file not found in $PATH");
    }

    #[test]
    fn the_first_executable_in_path_wins_and_others_are_passed_over() {
        let base = tempfile::tempdir().unwrap();
        for (directory, mode) in [("a", 0o644), ("b", 0o755), ("c", 0o755)] {
            let program = base.path().join(directory).join("run");
            fs::create_dir(base.path().join(directory)).unwrap();
            fs::write(&program, "").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        }
        let entry = |name: &str| base.path().join(name).display().to_string();
        let path = [entry("none"), entry("a"), entry("b"), entry("c")].join(":");
        assert_eq!(find("run", &path).unwrap(), base.path().join("b/run"));
        let plain = format!("{}/run", entry("a"));
        assert_eq!(
            find(&plain, "").unwrap_err().message,
            format!("exec: {plain:?}: permission denied")
        );
    }
}
