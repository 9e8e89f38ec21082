//! The files of a context's TLS, by endpoint: `ca.pem`, `cert.pem` and `key.pem` of `docker`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ContextError, DOCKER, Result, read_file};
use crate::replace::replace;
use crate::sys;
use crate::transport::Material;

/// The longest file of TLS, in bytes.
const LONGEST: u64 = 1 << 20;
/// Endpoints of a context, and files of an endpoint.
const MOST: usize = 16;

pub(super) const CA: &str = "ca.pem";
pub(super) const CERT: &str = "cert.pem";
pub(super) const KEY: &str = "key.pem";

/// The files by endpoint and name.
pub(crate) type Files = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

impl Material {
    /// The material as files of the endpoint `docker`.
    pub(crate) fn files(&self) -> Files {
        let parts = [(CA, &self.ca), (CERT, &self.cert), (KEY, &self.key)];
        let files: BTreeMap<_, _> = parts
            .into_iter()
            .filter_map(|(name, part)| Some((name.to_owned(), part.clone()?)))
            .collect();
        if files.is_empty() {
            return Files::new();
        }
        Files::from([(DOCKER.to_owned(), files)])
    }

    /// The material among a context's files; none where the endpoint `docker` has no files.
    pub(crate) fn of(files: &Files) -> Option<Self> {
        let files = files.get(DOCKER).filter(|files| !files.is_empty())?;
        Some(Self {
            ca: files.get(CA).cloned(),
            cert: files.get(CERT).cloned(),
            key: files.get(KEY).cloned(),
        })
    }

    /// The material in files of their own; a path that is empty is none.
    pub(crate) fn read(ca: &Path, cert: &Path, key: &Path) -> Result<Self> {
        let part = |path: &Path| {
            let path = Some(path).filter(|path| !path.as_os_str().is_empty());
            path.map(|path| read_file(path, LONGEST)).transpose()
        };
        Ok(Self {
            ca: part(ca)?,
            cert: part(cert)?,
            key: part(key)?,
        })
    }
}

/// Whether an endpoint or a file may have this name, which becomes one of a path.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(plain)
}

/// Reads the files below `folder`; none where it is not there.
pub(super) fn load(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for (endpoint, path) in entries(folder)? {
        let mut of_endpoint = BTreeMap::new();
        for (name, path) in entries(&path)? {
            of_endpoint.insert(name, read_file(&path, LONGEST)?);
        }
        files.insert(endpoint, of_endpoint);
    }
    Ok(files)
}

/// The entries of a folder by name.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |source| ContextError::Io {
        what: "open",
        path: folder.to_owned(),
        source,
    };
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(failed)?;
        if entries.len() == MOST {
            return Err(ContextError::Malformed {
                path: folder.to_owned(),
                reason: format!("it has more than {MOST} entries"),
            });
        }
        let name = entry
            .file_name()
            .to_str()
            .filter(|name| is_plain(name))
            .map(str::to_owned);
        // What has another name was not put there by a client of Docker's.
        if let Some(name) = name {
            entries.push((name, entry.path()));
        }
    }
    Ok(entries)
}

/// Writes these files below `folder`, for their owner alone.
pub(super) fn store(folder: &Path, files: &Files) -> Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ContextError::Io {
            what: "write",
            path,
            source,
        }
    };
    for (endpoint, files) in files {
        let folder = folder.join(endpoint);
        sys::private(fs::DirBuilder::new().recursive(true))
            .create(&folder)
            .map_err(failed(&folder))?;
        for (name, bytes) in files {
            let path = folder.join(name);
            replace(&path, bytes).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// Removes what is below `folder` and not among these files.
pub(super) fn prune(folder: &Path, files: &Files) -> Result<()> {
    if files.is_empty() {
        return remove(folder);
    }
    for (endpoint, path) in entries(folder)? {
        let Some(kept) = files.get(&endpoint) else {
            remove(&path)?;
            continue;
        };
        for (name, path) in entries(&path)? {
            if !kept.contains_key(&name) {
                fs::remove_file(&path).map_err(|source| ContextError::Io {
                    what: "remove",
                    path,
                    source,
                })?;
            }
        }
    }
    Ok(())
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ContextError::Io {
            what: "remove",
            path: folder.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}
