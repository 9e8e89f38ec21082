//! The folder of all state.

use std::io;
use std::path::Path;

use super::size;
use crate::sys;
use crate::types::Finding;

/// Less free disk than this is told as too little, in bytes.
const LITTLE_DISK: u64 = 2 << 30;
/// So little that pulls and containers fail soon.
const NO_DISK: u64 = 256 << 20;

pub(super) fn findings(home: &Path) -> [Finding; 3] {
    [
        disk(home, sys::free_disk_bytes(home)),
        sockets(home),
        permissions(home, sys::is_private(home)),
    ]
}

fn disk(home: &Path, free: Option<u64>) -> Finding {
    let Some(free) = free else {
        return Finding::ok("disk", "free space is not looked at on this system");
    };
    let text = format!("{} free for {}", size(free), home.display());
    if free < NO_DISK {
        Finding::error("disk", text, "free some space, or remove images and containers")
    } else if free < LITTLE_DISK {
        Finding::warning("disk", text, "images and containers may soon have no room")
    } else {
        Finding::ok("disk", text)
    }
}

fn sockets(home: &Path) -> Finding {
    let longest = home.join("machines").join("arm64").join("vsock_1025");
    let length = longest.as_os_str().len();
    if length > sys::socket_path_limit() {
        return Finding::error(
            "sockets",
            format!(
                "{} has {length} bytes, and a socket's path may have {}",
                longest.display(),
                sys::socket_path_limit()
            ),
            "set SAMPAN_HOME to a shorter path",
        );
    }
    Finding::ok("sockets", "paths fit")
}

fn permissions(home: &Path, private: io::Result<bool>) -> Finding {
    match private {
        Ok(true) => Finding::ok("home", format!("{} is its owner's alone", home.display())),
        Ok(false) => Finding::warning(
            "home",
            format!("{} can be looked into by others", home.display()),
            format!("chmod 700 {}", home.display()),
        ),
        Err(error) => Finding::error("home", format!("{}: {error}", home.display()), "set SAMPAN_HOME"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Severity;

    #[test]
    fn a_disk_that_fills_is_told_in_time() {
        let severity = |free| disk(Path::new("/h"), free).severity;
        assert_eq!(severity(Some(100 << 30)), Severity::Ok);
        assert_eq!(severity(Some(1 << 30)), Severity::Warning);
        assert_eq!(severity(Some(1 << 20)), Severity::Error);
        assert_eq!(severity(None), Severity::Ok);
        assert_eq!(
            disk(Path::new("/h"), Some(100 << 20)).finding,
            "100.0 MiB free for /h"
        );
    }

    #[test]
    fn a_home_whose_sockets_do_not_fit_is_an_error() {
        assert_eq!(sockets(Path::new("/h")).severity, Severity::Ok);
        let long = sockets(Path::new(&format!("/{}", "h".repeat(100))));
        assert_eq!(long.severity, Severity::Error);
        assert!(long.advice.contains("SAMPAN_HOME"));
    }

    #[test]
    fn a_home_that_others_can_look_into_is_a_warning_and_none_an_error() {
        let severity = |private| permissions(Path::new("/h"), private).severity;
        assert_eq!(severity(Ok(true)), Severity::Ok);
        assert_eq!(severity(Ok(false)), Severity::Warning);
        assert_eq!(severity(Err(io::ErrorKind::NotFound.into())), Severity::Error);
    }

    #[cfg(unix)]
    #[test]
    fn a_folders_permissions_are_looked_at() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let severity = |mode| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            findings(folder.path())[2].severity
        };
        assert_eq!(severity(0o700), Severity::Ok);
        assert_eq!(severity(0o755), Severity::Warning);
    }
}
