//! Which context sampan talks to when nothing else says so: the file `context` in the home folder.
//!
//! It is not Docker's `currentContext`. A person who chooses an engine for `sampan` does not expect `docker`, and all
//! that runs it, to talk to another engine from then on.

use std::fs;
use std::io;
use std::path::Path;

use super::{ContextError, Result, check_name, read_file};
use crate::replace::replace;
use crate::sys;

const FILE: &str = "context";
/// The longest file, in bytes.
const LONGEST: u64 = 4096;

/// The context that was chosen; none means this user's own service.
pub(crate) fn read(home: &Path) -> Result<Option<String>> {
    let path = home.join(FILE);
    let bytes = match read_file(&path, LONGEST) {
        Err(ContextError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let name = String::from_utf8_lossy(&bytes).trim().to_owned();
    check_name(&name).map_err(|error| ContextError::Malformed {
        path,
        reason: format!("{error}; choose another with `sampan context use`"),
    })?;
    Ok(Some(name))
}

/// Chooses a context, or this user's own service.
pub(crate) fn write(home: &Path, name: Option<&str>) -> Result<()> {
    let path = home.join(FILE);
    let written = match name {
        Some(name) => sys::private(fs::DirBuilder::new().recursive(true))
            .create(home)
            .and_then(|()| replace(&path, format!("{name}\n").as_bytes())),
        None => fs::remove_file(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }),
    };
    written.map_err(|source| ContextError::Io {
        what: "write",
        path,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_kept_until_another_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("new");
        assert_eq!(read(&home).unwrap(), None);
        write(&home, Some("far")).unwrap();
        assert_eq!(read(&home).unwrap().as_deref(), Some("far"));
        write(&home, None).unwrap();
        write(&home, None).unwrap();
        assert_eq!(read(&home).unwrap(), None);
    }

    #[test]
    fn a_choice_that_is_no_name_is_told_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "a b", "../x", "default", &"x".repeat(5000)] {
            fs::write(folder.path().join(FILE), text).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(
                error.contains(&folder.path().join(FILE).display().to_string()),
                "{error}"
            );
        }
    }
}
