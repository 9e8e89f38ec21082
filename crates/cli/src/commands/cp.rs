//! `cp` between this computer and a container (docker/cli `cli/command/container/cp.go`; moby `pkg/archive`, `copy.go`):
//! what is copied takes its own name in a folder that is there, and the destination's name otherwise.

use std::io::{IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use crate::arguments::CpArguments;
use crate::client::{Body, Client, ClientError, Target};
use crate::failure::{Failure, Result};
use crate::format::units;
use crate::output::tell;

const READ: usize = 256 << 10;
const HEADER: &str = "x-docker-container-path-stat";
// Go's os.FileMode.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Container { name: &'a str, path: &'a str },
    Here(&'a str),
    Stream,
}

fn place(text: &str) -> Place<'_> {
    if text == "-" {
        return Place::Stream;
    }
    // `./a:b` and `C:\x` are this computer's.
    let local =
        text.starts_with(['.', '/', '\\']) || (cfg!(windows) && text.as_bytes().get(1) == Some(&b':'));
    match text.split_once(':') {
        Some((name, path)) if !local && !name.is_empty() => Place::Container { name, path },
        _ => Place::Here(text),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stat {
    mode: u32,
    #[serde(default)]
    link_target: String,
}

impl Stat {
    fn is_directory(&self) -> bool {
        self.mode & DIRECTORY != 0
    }
}

/// `sampan cp`.
pub(crate) async fn run(client: &Client, arguments: CpArguments) -> Result<()> {
    let quiet = arguments.quiet || !std::io::stderr().is_terminal();
    match (place(&arguments.source), place(&arguments.destination)) {
        (Place::Container { name, path }, Place::Here(to)) => {
            let copied = out_of(client, name, path, Path::new(to), arguments.follow_link).await?;
            told(quiet, copied, to);
            Ok(())
        }
        (Place::Container { name, path }, Place::Stream) => {
            let mut body = archive(
                client,
                name,
                &followed(client, name, path, arguments.follow_link).await?,
            )
            .await?;
            let mut stdout = std::io::stdout();
            while let Some(bytes) = body.chunk().await? {
                stdout.write_all(&bytes)?;
            }
            Ok(stdout.flush()?)
        }
        (Place::Here(from), Place::Container { name, path }) => {
            let copied = into(client, from, name, path, &arguments).await?;
            told(quiet, copied, &arguments.destination);
            Ok(())
        }
        (Place::Stream, Place::Container { name, path }) => {
            let stdin = ReaderStream::with_capacity(tokio::io::stdin(), READ);
            Ok(client.put_archive(&target(name, path, &arguments), stdin).await?)
        }
        (Place::Container { .. }, Place::Container { .. }) => {
            Err(Failure::new("copying between containers is not supported"))
        }
        _ => Err(Failure::new("must specify at least one container source")),
    }
}

fn told(quiet: bool, bytes: u64, to: &str) {
    if !quiet {
        let size = units::size(i64::try_from(bytes).unwrap_or(i64::MAX));
        tell(&format!("Successfully copied {size} to {to}"));
    }
}

fn target(name: &str, path: &str, arguments: &CpArguments) -> Target {
    Target::new(&["containers", name, "archive"])
        .with("path", path)
        .with("noOverwriteDirNonDir", "true")
        .with_flag("copyUIDGID", arguments.archive)
}

async fn stat(client: &Client, name: &str, path: &str) -> Result<Stat, ClientError> {
    let target = Target::new(&["containers", name, "archive"]).with("path", path);
    let header = client.head(&target, HEADER).await?;
    let json = base64::engine::general_purpose::STANDARD
        .decode(header)
        .map_err(|error| ClientError::Answer(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| ClientError::Answer(error.to_string()))
}

/// The path, or where it leads as a link where that is asked for.
async fn followed(client: &Client, name: &str, path: &str, follow: bool) -> Result<String> {
    if follow {
        let stat = stat(client, name, path).await?;
        if stat.mode & SYMLINK != 0 {
            return Ok(stat.link_target);
        }
    }
    Ok(path.to_owned())
}

async fn archive(client: &Client, name: &str, path: &str) -> Result<Body> {
    let target = Target::new(&["containers", name, "archive"]).with("path", path);
    Ok(client.get_stream(&target).await?)
}

/// From a container to this computer. Returns the bytes that came.
async fn out_of(client: &Client, name: &str, path: &str, to: &Path, follow: bool) -> Result<u64> {
    let path = followed(client, name, path, follow).await?;
    let source = stat(client, name, &path).await?;
    let wants_folder = to
        .as_os_str()
        .to_string_lossy()
        .ends_with(['/', std::path::MAIN_SEPARATOR]);
    let there = std::fs::metadata(to).ok();
    let is_folder = there.as_ref().is_some_and(std::fs::Metadata::is_dir);
    if wants_folder && !is_folder && !source.is_directory() {
        return Err(Failure::new(format!("no such directory: {}", to.display())));
    }
    if there.is_some() && !is_folder && source.is_directory() {
        return Err(Failure::new("cannot copy directory to a file"));
    }
    let (file, bytes) = spooled(archive(client, name, &path).await?).await?;
    let to = to.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || {
        if is_folder {
            unpack(file, &to)
        } else {
            unpack_as(file, &to)
        }
    });
    unpacked
        .await
        .map_err(|error| Failure::new(error.to_string()))?
        .map_err(|error| Failure::new(format!("failed to copy: {error}")))?;
    Ok(bytes)
}

/// Keeps an archive in a file without a name.
async fn spooled(mut body: Body) -> Result<(std::fs::File, u64)> {
    let mut file = tempfile::tempfile()?;
    let mut bytes = 0u64;
    while let Some(chunk) = body.chunk().await? {
        file.write_all(&chunk)?;
        bytes = bytes.saturating_add(chunk.len() as u64);
    }
    file.rewind()?;
    Ok((file, bytes))
}

/// Unpacks into a folder; nothing is written outside of it.
fn unpack(archive: impl Read, folder: &Path) -> std::io::Result<()> {
    tar::Archive::new(archive).unpack(folder)
}

/// Unpacks beside the destination, and gives what came the destination's name.
fn unpack_as(archive: impl Read, to: &Path) -> std::io::Result<()> {
    let parent = to
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let stage = tempfile::Builder::new()
        .prefix(".sampan-cp-")
        .tempdir_in(parent)?;
    let inner = stage.path().join("copied");
    std::fs::create_dir(&inner)?;
    unpack(archive, &inner)?;
    let mut names = std::fs::read_dir(&inner)?.collect::<std::io::Result<Vec<_>>>()?;
    match (names.pop(), names.is_empty()) {
        (Some(only), true) => std::fs::rename(only.path(), to),
        // The contents of a folder (`/.`), or nothing at all.
        _ => std::fs::rename(&inner, to),
    }
}

/// From this computer to a container. Returns the bytes that went.
async fn into(client: &Client, from: &str, name: &str, path: &str, arguments: &CpArguments) -> Result<u64> {
    let source = Path::new(from);
    let metadata = if arguments.follow_link || from.ends_with('/') {
        std::fs::metadata(source)
    } else {
        std::fs::symlink_metadata(source)
    };
    let metadata = metadata.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Failure::new(format!("lstat {}: no such file or directory", source.display()))
        } else {
            Failure::new(format!("{}: {error}", source.display()))
        }
    })?;
    let mut path = path.to_owned();
    let there = match stat(client, name, &path).await {
        Ok(stat) if stat.mode & SYMLINK != 0 => {
            path = stat.link_target;
            self::stat(client, name, &path).await.ok()
        }
        Ok(stat) => Some(stat),
        Err(error) if error.status() == Some(hyper::StatusCode::NOT_FOUND) => {
            // Without the container there is no destination of any kind.
            if error.to_string().contains("No such container") {
                return Err(error.into());
            }
            None
        }
        Err(error) => return Err(error.into()),
    };
    let contents = from.ends_with("/.");
    let own = std::fs::canonicalize(source)
        .ok()
        .filter(|_| metadata.is_dir())
        .and_then(|path| path.file_name().map(PathBuf::from))
        .or_else(|| source.file_name().map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("."));
    let (folder, packed) = match there {
        Some(stat) if stat.is_directory() => (path, if contents { PathBuf::from(".") } else { own }),
        Some(_) if metadata.is_dir() => return Err(Failure::new("cannot copy directory to a file")),
        None if path.ends_with('/') && !metadata.is_dir() => {
            return Err(Failure::new(format!("no such directory: {name}:{path}")));
        }
        _ => {
            let clean = path.trim_end_matches('/');
            let (parent, base) = clean.rsplit_once('/').unwrap_or(("", clean));
            let parent = if parent.is_empty() { "/" } else { parent };
            (parent.to_owned(), PathBuf::from(base))
        }
    };
    let (source, follow) = (source.to_owned(), arguments.follow_link);
    let file = tokio::task::spawn_blocking(move || pack(&source, &packed, follow))
        .await
        .map_err(|error| Failure::new(error.to_string()))?
        .map_err(|error| Failure::new(format!("failed to read {from}: {error}")))?;
    let bytes = file.metadata()?.len();
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ);
    client
        .put_archive(&target(name, &folder, arguments), stream)
        .await?;
    Ok(bytes)
}

/// A tar of a path under a name, in a file without a name.
fn pack(source: &Path, name: &Path, follow: bool) -> std::io::Result<std::fs::File> {
    let file = tempfile::tempfile()?;
    let mut builder = tar::Builder::new(file);
    builder.follow_symlinks(false);
    let source = if follow {
        std::fs::canonicalize(source)?
    } else {
        source.to_owned()
    };
    if std::fs::symlink_metadata(&source)?.is_dir() || source.as_os_str().to_string_lossy().ends_with('/') {
        builder.append_dir_all(name, &source)?;
    } else {
        builder.append_path_with_name(&source, name)?;
    }
    let mut file = builder.into_inner()?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_named_before_a_colon_and_a_path_of_this_computer_may_have_one() {
        assert_eq!(
            place("web:/etc"),
            Place::Container {
                name: "web",
                path: "/etc"
            }
        );
        assert_eq!(place("./a:b"), Place::Here("./a:b"));
        assert_eq!(place("/a:b"), Place::Here("/a:b"));
        assert_eq!(place("-"), Place::Stream);
    }

    #[test]
    fn what_comes_takes_the_destinations_name() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("file"), "hello").unwrap();
        let archive = pack(&base.path().join("file"), Path::new("file"), false).unwrap();
        unpack_as(archive, &base.path().join("renamed")).unwrap();
        assert_eq!(
            std::fs::read_to_string(base.path().join("renamed")).unwrap(),
            "hello"
        );
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_archive_cannot_write_outside_of_its_folder() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("in");
        std::fs::create_dir(&folder).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.as_old_mut().name[..7].copy_from_slice(b"../evil");
        header.set_cksum();
        builder.append(&header, &b"x"[..]).unwrap();
        unpack(builder.into_inner().unwrap().as_slice(), &folder).unwrap();
        assert!(!base.path().join("evil").exists());
    }
}
