//! `doctor --archive`: one file for a bug report.
//!
//! The file is written beside its place and renamed into it, so that there is never half of one; only its owner can
//! read it. Nothing goes into it that did not go through the [`Redactor`].

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::Finding;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

use super::gather::{self, Part};
use super::{as_json, findings, report};
use crate::client::Client;
use crate::commands::inspect;
use crate::failure::{Failure, Result};
use crate::format::units;
use crate::output::print;
use crate::redact::Redactor;
use crate::settings;

/// The folder in the archive.
const FOLDER: &str = "sampan-report";
/// The file that tells what the others are.
const INDEX: &str = "README.txt";

/// Writes the archive and says so.
pub(super) async fn run(client: &Client, path: &Path, force: bool) -> Result<()> {
    if !client.host().own {
        return Err(Failure::new(
            "an archive is made of this user's own service, not of another engine: `-c default` means \
             the own one",
        ));
    }
    refuse_existing(path, force)?;
    let home = settings::home()?;
    let person = std::env::home_dir().map(|home| home.display().to_string());
    let mut redactor = Redactor::new(person).map_err(|error| Failure::new(error.to_string()))?;
    let findings = findings(client).await?;
    let mut parts = told(&findings)?;
    parts.extend(gather::from_service(client, &mut redactor).await);
    parts.extend(gather::from_disk(&home, &mut redactor));
    let files = files(&parts, &redactor);
    let length = write(path, &files, force)?;
    let problems = parts.iter().filter(|part| part.content.is_err()).count();
    print(&summary(path, files.len(), length, problems))
}

fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if !force && fs::symlink_metadata(path).is_ok() {
        return Err(exists(path));
    }
    Ok(())
}

fn exists(path: &Path) -> Failure {
    Failure::new(format!(
        "{} is there already: choose another name, or overwrite it with --force",
        path.display()
    ))
}

/// The findings, for persons and for programs.
fn told(findings: &[Finding]) -> Result<Vec<Part>> {
    Ok(vec![
        Part::text("findings.txt", "what `sampan doctor` found", report(findings)),
        Part::json("findings.json", "the same as JSON", as_json(findings)?),
    ])
}

/// What goes into the archive, without secrets: the index, and each part that could be had.
fn files(parts: &[Part], redactor: &Redactor) -> Vec<(String, String)> {
    let mut files = vec![(INDEX.to_owned(), redactor.text(&index(parts)))];
    for part in parts {
        match &part.content {
            Ok(gather::Content::Text(text)) => files.push((part.name.clone(), redactor.text(text))),
            Ok(gather::Content::Json(value)) => {
                let text = inspect::listed(&redactor.json(value)).unwrap_or_default();
                files.push((part.name.clone(), text));
            }
            Err(_) => {}
        }
    }
    files
}

fn index(parts: &[Part]) -> String {
    let mut text = format!(
        "A report of sampan {} for whoever looks for a fault.\n\n\
         Values of environment variables and labels, arguments and settings that hold passwords or tokens, and what \
         was logged\nof them are replaced by REDACTED; the home folder is ~. Logs of containers and credentials for \
         registries are not in it.\nWho sends this should have looked at it before: no program knows every secret.\n\n",
        env!("CARGO_PKG_VERSION")
    );
    let longest = parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
    for part in parts {
        let what = match &part.content {
            Ok(_) => part.what.clone(),
            Err(reason) => format!("{}: MISSING, {reason}", part.what),
        };
        text.push_str(&format!("{:longest$}  {what}\n", part.name));
    }
    text
}

/// Writes the files in one step, and says how long the archive is.
fn write(path: &Path, files: &[(String, String)], force: bool) -> Result<u64> {
    let failed = |error: io::Error| {
        Failure::new(format!(
            "the archive {} cannot be written: {error}: name a file in a folder that you may write to",
            path.display()
        ))
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    // For its owner alone, as temporary files are.
    let mut file = NamedTempFile::with_prefix_in(".sampan-report", folder).map_err(failed)?;
    pack(&mut file, files).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let length = file.as_file().metadata().map_err(failed)?.len();
    let placed = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match placed {
        Ok(_) => Ok(length),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(error) => Err(failed(error.error)),
    }
}

fn pack(out: impl Write, files: &[(String, String)]) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        header.set_cksum();
        archive.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}

fn summary(path: &Path, files: usize, length: u64, problems: usize) -> String {
    let length = units::size(i64::try_from(length).unwrap_or(i64::MAX));
    let path = path.display();
    let missing = match problems {
        0 => String::new(),
        1 => "One thing could not be had; README.txt in it says which and why.\n".to_owned(),
        problems => format!("{problems} things could not be had; README.txt in it says which and why.\n"),
    };
    format!(
        "{path}: {files} files, {length}\n{missing}\
         Passwords, tokens and the values of environment variables are taken out, as far as a program knows them.\n\
         Look at it before you send it: tar -xzf {path}, then read {FOLDER}/{INDEX} first.\n"
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(None).unwrap()
    }

    fn unpacked(path: &Path) -> Vec<(String, String)> {
        let file = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
        let mut archive = tar::Archive::new(file);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        entries.collect()
    }

    #[test]
    fn an_archive_has_its_files_in_one_folder_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.tar.gz");
        let length = write(&path, &[("a.txt".to_owned(), "hello\n".to_owned())], false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
        assert_eq!(
            unpacked(&path),
            [("sampan-report/a.txt".to_owned(), "hello\n".to_owned())]
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_there_is_overwritten_only_when_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.tar.gz");
        fs::write(&path, "precious").unwrap();
        assert!(
            refuse_existing(&path, false)
                .unwrap_err()
                .message
                .ends_with("--force")
        );
        assert!(write(&path, &[], false).unwrap_err().message.ends_with("--force"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        refuse_existing(&path, true).unwrap();
        write(&path, &[], true).unwrap();
        assert_eq!(unpacked(&path), []);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = write(&folder.path().join("none/x.tar.gz"), &[], false)
            .unwrap_err()
            .message;
        assert!(message.contains("none/x.tar.gz cannot be written"), "{message}");
    }

    #[test]
    fn every_file_goes_through_the_redaction_and_what_is_missing_is_in_the_index() {
        let parts = [
            Part::text("log.txt", "a log", "password=hidden".to_owned()),
            Part::json("info.json", "facts", serde_json::json!({ "Env": ["A=hidden"] })),
            Part {
                name: "kernel.log".to_owned(),
                what: "the kernel's log".to_owned(),
                content: Err("no machine runs, token=hidden".to_owned()),
            },
        ];
        let files = files(&parts, &redactor());
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [INDEX, "log.txt", "info.json"]);
        assert!(
            files.iter().all(|(_, text)| !text.contains("hidden")),
            "{files:?}"
        );
        let (_, index) = &files[0];
        assert!(index.contains("log.txt     a log\n"), "{index}");
        assert!(
            index.contains("kernel.log  the kernel's log: MISSING, no machine runs"),
            "{index}"
        );
    }

    #[test]
    fn who_made_an_archive_is_told_to_look_at_it() {
        let text = summary(Path::new("r.tar.gz"), 12, 2048, 0);
        assert!(text.starts_with("r.tar.gz: 12 files, 2.05kB\n"), "{text}");
        assert!(
            text.contains("Look at it before you send it: tar -xzf r.tar.gz"),
            "{text}"
        );
        assert!(summary(Path::new("r"), 1, 1, 2).contains("2 things could not be had"));
    }
}
