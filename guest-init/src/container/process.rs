//! The last steps of a child, alike for a container's first process and for an exec: environment, limits,
//! user, capabilities, working directory, seccomp, execve(2).

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use protocol::Process;
use rustix::fs::{Gid, Uid, fchown};
use rustix::io::Errno;
use rustix::process::{chdir, getcwd, umask};
use rustix::thread::set_no_new_privs;

use super::user::Identity;
use super::{inside, mounting, privileges, program, user};
use crate::failure::{Context, Outcome, failure, invalid, text_of};
use crate::sys;

/// Becomes the program. Returns only with the reason why not.
pub(crate) fn execute(process: &Process, with_init: bool) -> Outcome<Infallible> {
    let identity = user::resolve(&process.user, &process.additional_groups)?;
    let environment = environment(process, &identity)?;
    let capabilities = privileges::capabilities(&process.capabilities)?;
    own_standard_streams(&identity)?;
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    privileges::limit(process)?;
    fs::write("/proc/self/oom_score_adj", process.oom_score_adj.to_string())
        .context(|| format!("oom_score_adj {}", process.oom_score_adj))?;
    if process.no_new_privileges {
        set_no_new_privs(true).context(|| "no_new_privs".to_owned())?;
    } else {
        // Installing needs CAP_SYS_ADMIN, which is gone further down.
        install_filters(process)?;
    }
    privileges::bound(capabilities)?;
    // Root may enter what the user may not, and on a foreign file system the other way round.
    let entered = enter_working_directory(process);
    privileges::become_user(&identity, capabilities)?;
    match entered {
        Err(Errno::ACCESS | Errno::PERM) => enter_working_directory(process),
        result => result,
    }
    .map_err(|errno| {
        let directory = &process.working_directory;
        let text = format!(
            "chdir to cwd ({directory:?}) set in config.json failed: {}",
            text_of(errno)
        );
        let kind = match errno {
            Errno::NOENT | Errno::NOTDIR => protocol::FailureKind::ProgramNotFound,
            _ => protocol::FailureKind::ProgramNotExecutable,
        };
        failure(kind, text)
    })?;

    let (program, arguments) = if with_init {
        let before = [inside::INIT.to_owned(), "--".to_owned()];
        (
            PathBuf::from(inside::INIT),
            before.iter().chain(&process.arguments).cloned().collect(),
        )
    } else {
        let path = process
            .environment
            .iter()
            .find_map(|entry| entry.strip_prefix("PATH="));
        let name = process
            .arguments
            .first()
            .ok_or_else(|| invalid("no program to execute"))?;
        (
            program::find(name, path.unwrap_or_default())?,
            process.arguments.clone(),
        )
    };
    let program_name =
        CString::new(program.as_os_str().as_bytes()).map_err(|_| invalid("a NUL in the program"))?;
    let arguments = c_strings(arguments)?;
    sys::fd::close_all_on_execute().context(|| "close_range".to_owned())?;
    if process.no_new_privileges {
        install_filters(process)?;
    }
    sys::signal::unblock_all().context(|| "sigprocmask".to_owned())?;
    let error = sys::process::execute(&program_name, &arguments, &environment);
    Err(program::not_executed(&program, &error))
}

fn install_filters(process: &Process) -> Outcome<()> {
    process.seccomp.iter().try_for_each(|filter| {
        sys::seccomp::install(filter).context(|| "the seccomp filter was refused".to_owned())
    })
}

/// The environment with HOME in it.
fn environment(process: &Process, identity: &Identity) -> Outcome<Vec<CString>> {
    let mut entries = process.environment.clone();
    if !entries.iter().any(|entry| entry.starts_with("HOME=")) {
        entries.push(format!("HOME={}", identity.home));
    }
    c_strings(entries)
}

fn c_strings(texts: Vec<String>) -> Outcome<Vec<CString>> {
    texts
        .into_iter()
        .map(|text| CString::new(text).map_err(|_| invalid("a NUL in an argument or environment variable")))
        .collect()
}

/// Gives the streams to the user, so that it can open /dev/stdout and its terminal again.
fn own_standard_streams(identity: &Identity) -> Outcome<()> {
    if identity.uid == 0 {
        return Ok(());
    }
    for stream in sys::fd::standard_streams() {
        let null = rustix::fs::stat("/dev/null")
            .is_ok_and(|null| rustix::fs::fstat(stream).is_ok_and(|status| status.st_rdev == null.st_rdev));
        if null {
            continue;
        }
        match fchown(stream, Some(Uid::from_raw(identity.uid)), None::<Gid>) {
            Ok(()) | Err(Errno::ROFS | Errno::PERM | Errno::INVAL) => {}
            Err(errno) => {
                return Err(errno)
                    .context(|| "the standard streams could not be given to the user".to_owned());
            }
        }
    }
    Ok(())
}

/// Enters the working directory, and makes sure that it is inside the container: through a descriptor in
/// /proc/self/fd it could be anywhere.
fn enter_working_directory(process: &Process) -> Result<(), Errno> {
    let directory = match process.working_directory.as_str() {
        "" => Path::new("/").to_owned(),
        text => mounting::cleaned(text),
    };
    chdir(&directory)?;
    if getcwd(Vec::new())?.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Errno::NOENT)
    }
}
