//! The name of a cached thing: a hash of everything that it is made from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Collects inputs. Each is hashed with its length, so that no two lists of inputs run together.
#[derive(Default)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Starts with what is made, and by which version of its recipe.
    pub fn new(recipe: &str) -> Self {
        let mut new = Self::default();
        new.add(recipe);
        new
    }

    pub fn add(&mut self, input: impl AsRef<[u8]>) {
        let input = input.as_ref();
        self.0.update((input.len() as u64).to_le_bytes());
        self.0.update(input);
    }

    /// Adds a file, or a folder with the names, modes and contents of all that is in it.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn add_path(&mut self, path: &Path) -> Result<()> {
        let unreadable = || format!("cannot read {}", path.display());
        let metadata = fs::symlink_metadata(path).with_context(unreadable)?;
        self.add(path.file_name().unwrap_or_default().as_encoded_bytes());
        if metadata.is_dir() {
            let mut entries = fs::read_dir(path)
                .and_then(|entries| {
                    entries
                        .map(|entry| Ok(entry?.path()))
                        .collect::<std::io::Result<Vec<_>>>()
                })
                .with_context(unreadable)?;
            entries.sort();
            self.add(entries.len().to_le_bytes());
            for entry in entries {
                self.add_path(&entry)?;
            }
        } else if metadata.is_symlink() {
            self.add(
                fs::read_link(path)
                    .with_context(unreadable)?
                    .as_os_str()
                    .as_encoded_bytes(),
            );
        } else {
            self.add(fs::read(path).with_context(unreadable)?);
        }
        Ok(())
    }

    /// The first 16 hexadecimal digits.
    pub fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_from_one_input_to_the_next_changes_the_name() {
        let of = |inputs: [&str; 2]| {
            let mut fingerprint = Fingerprint::new("recipe");
            inputs.iter().for_each(|input| fingerprint.add(input));
            fingerprint.finish()
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        assert_eq!(of(["ab", "c"]), of(["ab", "c"]));
    }

    #[test]
    fn a_changed_file_deep_in_a_folder_changes_the_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let of = |content: &str| {
            fs::write(folder.path().join("inner/file"), content).unwrap();
            let mut fingerprint = Fingerprint::new("recipe");
            fingerprint.add_path(folder.path()).unwrap();
            fingerprint.finish()
        };
        assert_ne!(of("one"), of("two"));
    }
}
