//! The folder of contexts. One that is half written has no `meta.json` yet and does not exist.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{ContextError, Files, Metadata, Result, material, natural, read_file};
use crate::credentials;
use crate::replace::replace;

const META_FILE: &str = "meta.json";
/// The longest `meta.json`, in bytes.
pub(super) const LONGEST_META: u64 = 1 << 20;
/// How many contexts there may be.
const MOST: usize = 4096;

/// Docker's store of contexts.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store of this user's `docker`.
    pub(crate) fn open() -> Result<Self> {
        let folder = credentials::folder().ok_or(ContextError::NoFolder)?;
        // What is told of it is to make sense in another folder too.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Ok(Self {
            root: folder.join("contexts"),
        })
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder of a context's `meta.json`.
    pub(crate) fn metadata_folder(&self, name: &str) -> PathBuf {
        self.root.join("meta").join(id(name))
    }

    /// The folder of a context's files of TLS.
    pub(crate) fn tls_folder(&self, name: &str) -> PathBuf {
        self.root.join("tls").join(id(name))
    }

    /// The contexts by name, as a person sorts: 2 comes before 10.
    pub(crate) fn list(&self) -> Result<Vec<Metadata>> {
        let folder = self.root.join("meta");
        let failed = |source| ContextError::Io {
            what: "open",
            path: folder.clone(),
            source,
        };
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut contexts = Vec::new();
        for entry in listed {
            let path = entry.map_err(failed)?.path().join(META_FILE);
            if contexts.len() == MOST {
                return Err(ContextError::Malformed {
                    path: folder,
                    reason: format!("it has more than {MOST} contexts"),
                });
            }
            match read(&path) {
                // Not a context, or not yet, or no more.
                Err(ContextError::Io { source, .. })
                    if matches!(
                        source.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(ContextError::Listed(Box::new(error))),
                Ok(context) => contexts.push(context),
            }
        }
        contexts.sort_by(|first, second| natural(&first.name, &second.name));
        Ok(contexts)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Metadata> {
        let path = self.metadata_folder(name).join(META_FILE);
        let context = match read(&path) {
            Err(ContextError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(ContextError::NotFound {
                    name: name.to_owned(),
                    path,
                });
            }
            read => read?,
        };
        if context.name == name {
            Ok(context)
        } else {
            Err(ContextError::Malformed {
                path,
                reason: format!(
                    "it is of the context {:?}, and {name:?} was asked for",
                    context.name
                ),
            })
        }
    }

    pub(crate) fn files(&self, name: &str) -> Result<Files> {
        material::load(&self.tls_folder(name))
    }

    /// Keeps a context, with these files and no others if they are given. The files it gets come before it and those
    /// it loses go after it: it is never there with less security than it is meant to have.
    pub(crate) fn put(&self, context: &Metadata, files: Option<&Files>) -> Result<()> {
        if let Some(files) = files {
            material::store(&self.tls_folder(&context.name), files)?;
        }
        let folder = self.metadata_folder(&context.name);
        let path = folder.join(META_FILE);
        let written = fs::create_dir_all(&folder).map_err(|error| (folder, error));
        let bytes = context.to_json()?;
        let written = written.and_then(|()| replace(&path, &bytes).map_err(|error| (path, error)));
        written.map_err(|(path, source)| ContextError::Io {
            what: "write",
            path,
            source,
        })?;
        match files {
            Some(files) => material::prune(&self.tls_folder(&context.name), files),
            None => Ok(()),
        }
    }

    /// Forgets a context. Its files go last, for the same reason.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        material::remove(&self.metadata_folder(name))?;
        material::remove(&self.tls_folder(name))
    }

    /// Whether there is anything of a context, whole or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.metadata_folder(name).exists()
    }
}

fn read(path: &Path) -> Result<Metadata> {
    let bytes = read_file(path, LONGEST_META)?;
    Metadata::parse(&bytes).map_err(|reason| ContextError::Malformed {
        path: path.to_owned(),
        reason,
    })
}

fn id(name: &str) -> String {
    hex::encode(Sha256::digest(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::Endpoint;
    use crate::transport::Material;

    fn context(name: &str) -> Metadata {
        let endpoint = Endpoint {
            host: "tcp://far:2376".to_owned(),
            skip_tls_verify: false,
        };
        Metadata::new(name, "", &endpoint).unwrap()
    }

    #[test]
    fn a_context_lies_where_docker_looks_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let material = Material {
            ca: Some(b"authority".to_vec()),
            ..Material::default()
        };
        store.put(&context("one"), Some(&material.files())).unwrap();
        // What `docker context create one` made of this name.
        let id = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert!(folder.path().join("meta").join(id).join("meta.json").is_file());
        let ca = folder.path().join("tls").join(id).join("docker/ca.pem");
        assert_eq!(fs::read(ca).unwrap(), b"authority");
        assert_eq!(store.get("one").unwrap(), context("one"));
        assert_eq!(Material::of(&store.files("one").unwrap()), Some(material));
        store.remove("one").unwrap();
        assert!(matches!(store.get("one"), Err(ContextError::NotFound { .. })));
        assert!(!folder.path().join("tls").join(id).exists());
    }

    #[test]
    fn a_context_keeps_no_file_that_it_no_longer_has() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let material = |ca: Option<&[u8]>, key: Option<&[u8]>| Material {
            ca: ca.map(<[u8]>::to_vec),
            cert: None,
            key: key.map(<[u8]>::to_vec),
        };
        store
            .put(&context("one"), Some(&material(None, Some(b"old")).files()))
            .unwrap();
        let new = material(Some(b"authority"), None);
        store.put(&context("one"), Some(&new.files())).unwrap();
        assert_eq!(store.files("one").unwrap(), new.files());
        store.put(&context("one"), None).unwrap();
        assert_eq!(store.files("one").unwrap(), new.files());
        store.put(&context("one"), Some(&Files::new())).unwrap();
        assert!(!store.tls_folder("one").exists());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_a_contexts_key() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let material = Material {
            key: Some(b"secret".to_vec()),
            ..Material::default()
        };
        store.put(&context("one"), Some(&material.files())).unwrap();
        let endpoint = store.tls_folder("one").join("docker");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&endpoint), mode(&endpoint.join("key.pem"))), (0o700, 0o600));
    }

    #[test]
    fn contexts_are_listed_as_a_person_sorts_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        assert!(store.list().unwrap().is_empty());
        for name in ["box10", "box2", "alpha", "box"] {
            store.put(&context(name), None).unwrap();
        }
        // A context that is being removed has a folder and nothing in it.
        fs::create_dir(store.metadata_folder("gone"))
            .or_else(|_| fs::create_dir_all(store.metadata_folder("gone")))
            .unwrap();
        let names: Vec<String> = store
            .list()
            .unwrap()
            .into_iter()
            .map(|context| context.name)
            .collect();
        assert_eq!(names, ["alpha", "box", "box2", "box10"]);
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let path = store.metadata_folder("bad").join(META_FILE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let deep = "[".repeat(100_000);
        let long = format!("{{\"Name\":\"{}\"}}", "x".repeat(1 << 20));
        for text in [
            "",
            "{",
            "[]",
            "{\"Name\":3}",
            "{\"Endpoints\":[]}",
            &deep,
            &long,
            "{\"Name\":\"other\"}",
        ] {
            fs::write(&path, text).unwrap();
            let error = store.get("bad").unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("parsing {}: ", path.display())),
                "{error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_named_pipe_in_a_files_place_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let path = store.metadata_folder("bad").join(META_FILE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let error = store.get("bad").unwrap_err().to_string();
        assert!(error.contains("it is no regular file"), "{error}");
    }
}
