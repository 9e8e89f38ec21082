//! `config.json`. Docker's own client and its plugins keep other things in it, which stay as they are.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{CredentialsError, Result};
use crate::sys;

/// The longest `config.json`, in bytes.
const LONGEST: u64 = 4 << 20;

/// The file as it was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    content: Map<String, Value>,
}

impl ConfigFile {
    /// A file that is not there is an empty one.
    pub(super) fn read(path: PathBuf) -> Result<Self> {
        let io = |source| CredentialsError::Io {
            path: path.clone(),
            source,
        };
        let malformed = |reason: String| CredentialsError::Malformed {
            path: path.clone(),
            reason,
        };
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file
                .take(LONGEST.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(io(error)),
        };
        if bytes.len() as u64 > LONGEST {
            return Err(malformed(format!("it is longer than {LONGEST} bytes")));
        }
        let content = if bytes.trim_ascii().is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?
        };
        Ok(Self { path, content })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept for each registry.
    pub(super) fn auths(&self) -> Option<&Map<String, Value>> {
        self.content.get("auths")?.as_object()
    }

    /// A text, by the keys that lead to it; an empty one is none.
    pub(super) fn text(&self, keys: &[&str]) -> Option<&str> {
        let (first, rest) = keys.split_first()?;
        let mut value = self.content.get(*first)?;
        for key in rest {
            value = value.get(*key)?;
        }
        value.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn set_auth(&mut self, key: &str, entry: Value) -> Result<()> {
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        let auths = auths.as_object_mut().ok_or_else(|| CredentialsError::Malformed {
            path: self.path.clone(),
            reason: "its auths are no object".to_owned(),
        })?;
        auths.insert(key.to_owned(), entry);
        Ok(())
    }

    /// Says whether there was anything to remove.
    pub(super) fn remove_auth(&mut self, key: &str) -> bool {
        let auths = self.content.get_mut("auths").and_then(Value::as_object_mut);
        auths.is_some_and(|auths| auths.remove(key).is_some())
    }

    /// Puts the whole file in its place at once, for its owner only. A link that leads to it stays one.
    pub(super) fn write(&self) -> Result<()> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let written = (|| {
            let folder = path
                .parent()
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
            sys::private(fs::DirBuilder::new().recursive(true)).create(folder)?;
            // Made with mode 0600.
            let mut draft = tempfile::Builder::new()
                .prefix("config.json")
                .tempfile_in(folder)?;
            let mut text = Vec::new();
            let indented = serde_json::ser::PrettyFormatter::with_indent(b"\t");
            self.content
                .serialize(&mut serde_json::Serializer::with_formatter(&mut text, indented))?;
            draft.write_all(&text)?;
            draft.as_file().sync_all()?;
            draft.persist(&path).map(drop).map_err(|error| error.error)
        })();
        written.map_err(|source| CredentialsError::Io {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_understood_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for text in ["{\"auths\":", "[]"] {
            fs::write(&path, text).unwrap();
            let error = ConfigFile::read(path.clone()).unwrap_err().to_string();
            assert!(error.contains("mend it or move it away"), "{error}");
        }
        fs::write(&path, "{\"auths\":[1]}").unwrap();
        let mut file = ConfigFile::read(path).unwrap();
        assert!(file.set_auth("x", json!({})).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_its_owners_only_and_a_link_to_one_stays() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.json");
        let mut file = ConfigFile::read(path.clone()).unwrap();
        file.set_auth("x", json!({ "auth": "eTp6" })).unwrap();
        file.write().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\n\t\"auths\": {\n\t\t\"x\": {\n\t\t\t\"auth\": \"eTp6\"\n\t\t}\n\t}\n}"
        );

        let link = folder.path().join("config.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = ConfigFile::read(link.clone()).unwrap();
        assert!(file.remove_auth("x"));
        file.write().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(!fs::read_to_string(&path).unwrap().contains("eTp6"));
    }
}
