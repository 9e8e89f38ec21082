//! What lies at a path (`HEAD /containers/{id}/archive`).

use protocol::PathStat;
use rustix::fs::{AtFlags, CWD, FileType, Stat, readlinkat, statat};

use crate::container::mounting::cleaned;
use crate::failure::{Context, Outcome, failure};

/// What lies at a path, whose last part is followed where a slash or a dot comes after it.
pub(super) fn stat(path: &str) -> Outcome<PathStat> {
    let clean = cleaned(path);
    let flags = if path.ends_with('/') || path.ends_with("/.") {
        AtFlags::empty()
    } else {
        AtFlags::SYMLINK_NOFOLLOW
    };
    let status = statat(CWD, &clean, flags).map_err(|errno| match errno {
        rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => failure(
            protocol::FailureKind::ProgramNotFound,
            format!("Could not find the file {path}"),
        ),
        errno => failure(
            protocol::FailureKind::Internal,
            format!("{path}: {}", crate::failure::text_of(errno)),
        ),
    })?;
    let mut link_target = String::new();
    if FileType::from_raw_mode(status.st_mode) == FileType::Symlink {
        let target = readlinkat(CWD, &clean, Vec::new()).context(|| path.to_owned())?;
        let parent = clean.parent().unwrap_or(std::path::Path::new("/"));
        link_target = cleaned(&parent.join(&*target.to_string_lossy()).to_string_lossy())
            .display()
            .to_string();
    }
    let name = clean
        .file_name()
        .map_or("/".into(), |name| name.to_string_lossy());
    Ok(PathStat {
        name: name.into_owned(),
        size: u64::try_from(status.st_size).unwrap_or(0),
        mode: status.st_mode,
        mtime_ns: mtime(&status),
        link_target,
    })
}

pub(super) fn mtime(status: &Stat) -> i64 {
    status
        .st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::try_from(status.st_mtime_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_told_with_where_it_leads() {
        let base = tempfile::tempdir().unwrap();
        let link = base.path().join("link");
        std::os::unix::fs::symlink("sub/../file", &link).unwrap();
        let stat = stat(link.to_str().unwrap()).unwrap();
        assert_eq!(stat.name, "link");
        assert_eq!(stat.link_target, base.path().join("file").display().to_string());
    }

    #[test]
    fn what_is_not_there_is_told_in_dockers_words() {
        let failure = stat("/no/such").unwrap_err();
        assert_eq!(failure.message, "Could not find the file /no/such");
    }
}
