//! Exported contexts: a tar archive of `meta.json` and `tls/<endpoint>/<file>` (docker/cli `cli/context/store`). One
//! can come from anywhere.

use std::io::{self, Read};

use tar::{Archive, Builder, EntryType, Header};

use super::material::is_plain;
use super::{ContextError, Files, Metadata, Result};

/// The longest archive, in bytes.
const LONGEST: u64 = 10 << 20;
/// How many entries an archive may have.
const MOST: usize = 256;
const META: &str = "meta.json";
const TLS: &str = "tls";
/// What a zip file begins with.
const ZIP: &[u8] = b"PK\x03\x04";

/// The archive of a context.
pub(crate) fn pack(context: &Metadata, files: &Files) -> Result<Vec<u8>> {
    let meta = context.to_json()?;
    let packed = || -> io::Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        append(&mut archive, META, EntryType::Regular, 0o644, &meta)?;
        append(&mut archive, TLS, EntryType::Directory, 0o700, &[])?;
        for (endpoint, files) in files {
            append(
                &mut archive,
                &format!("{TLS}/{endpoint}"),
                EntryType::Directory,
                0o700,
                &[],
            )?;
            for (name, bytes) in files {
                append(
                    &mut archive,
                    &format!("{TLS}/{endpoint}/{name}"),
                    EntryType::Regular,
                    0o600,
                    bytes,
                )?;
            }
        }
        archive.into_inner()
    };
    packed().map_err(|error| ContextError::Archive(error.to_string()))
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes)
}

/// The context in an archive, under another name, and its files. Nothing is kept of one that is not right.
pub(crate) fn unpack(name: &str, mut source: impl Read) -> Result<(Metadata, Files)> {
    let failed = |error: io::Error| ContextError::Archive(error.to_string());
    let mut bytes = Vec::new();
    source
        .by_ref()
        .take(LONGEST.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(ContextError::Archive("read exceeds the defined limit".to_owned()));
    }
    if bytes.starts_with(ZIP) {
        return Err(ContextError::Archive(
            "this is a zip file: unpack it, and import a tar archive of what is in it".to_owned(),
        ));
    }
    let mut context = None;
    let mut files = Files::new();
    let mut archive = Archive::new(bytes.as_slice());
    for (index, entry) in archive.entries().map_err(failed)?.enumerate() {
        let mut entry = entry.map_err(failed)?;
        if index == MOST {
            return Err(ContextError::Archive(format!(
                "the archive has more than {MOST} entries"
            )));
        }
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        // No more than the archive has, which has its bound.
        entry.read_to_end(&mut content).map_err(failed)?;
        if path == META {
            let found = Metadata::parse(&content)
                .map_err(|reason| ContextError::Archive(format!("{META}: {reason}")))?;
            context = Some(Metadata {
                name: name.to_owned(),
                ..found
            });
            continue;
        }
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            [TLS, endpoint, file] if is_plain(endpoint) && is_plain(file) => {
                let endpoint = files.entry((*endpoint).to_owned()).or_default();
                endpoint.insert((*file).to_owned(), content);
            }
            _ => {
                return Err(ContextError::Archive(format!(
                    "{path:?}: unexpected context file"
                )));
            }
        }
    }
    let context =
        context.ok_or_else(|| ContextError::Archive("invalid context: no metadata found".to_owned()))?;
    Ok((context, files))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contexts::Endpoint;
    use crate::transport::Material;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (path, bytes) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            // Past the checks of the library, which refuses some of these paths.
            let name = &mut header.as_gnu_mut().unwrap().name;
            name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn what_is_exported_is_imported_under_another_name() {
        let endpoint = Endpoint {
            host: "tcp://far".to_owned(),
            skip_tls_verify: true,
        };
        let context = Metadata::new("one", "a far one", &endpoint).unwrap();
        let material = Material {
            cert: Some(b"certificate".to_vec()),
            ..Material::default()
        };
        let packed = pack(&context, &material.files()).unwrap();
        let (imported, files) = unpack("two", packed.as_slice()).unwrap();
        assert_eq!(
            imported,
            Metadata {
                name: "two".to_owned(),
                ..context
            }
        );
        assert_eq!(files, material.files());
    }

    #[test]
    fn an_archive_can_write_nowhere_but_among_its_contexts_files() {
        for path in [
            "../meta.json",
            "/etc/passwd",
            "tls/../../x",
            "tls/docker/../../x",
            "tls/docker/a/b",
            "tls/docker",
            "tls//x",
            "tls/docker/.",
            "tls/docker/..\\x",
            "tls/docker/c:x",
            "else",
        ] {
            let bytes = archive(&[("meta.json", b"{}"), (path, b"x")]);
            let error = unpack("x1", bytes.as_slice()).unwrap_err().to_string();
            assert!(error.ends_with("unexpected context file"), "{path}: {error}");
        }
    }

    #[test]
    fn an_archive_without_a_context_or_beyond_its_bounds_is_refused() {
        let message = |bytes: &[u8]| unpack("x1", bytes).unwrap_err().to_string();
        assert_eq!(message(&archive(&[])), "invalid context: no metadata found");
        assert_eq!(
            message(&vec![0; (10 << 20) + 1]),
            "read exceeds the defined limit"
        );
        assert!(message(b"PK\x03\x04").contains("zip"));
        let many = vec![("meta.json", b"{}".as_slice()); 300];
        assert!(message(&archive(&many)).contains("more than 256 entries"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange_to_be_refused(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            let _ = unpack("x1", bytes.as_slice());
        }
    }
}
