//! The files of a layer before they are archived.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};

/// The time of every file and of the image: 2026-01-01, in seconds.
pub(super) const EPOCH: u64 = 1_767_225_600;
const BLOCK: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File(Vec<u8>),
    Link(String),
    /// The same file as the one at this path.
    HardLink(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Node {
    pub(super) fn folder() -> Self {
        Self {
            kind: Kind::Folder,
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }

    pub(super) fn file(content: Vec<u8>, mode: u32) -> Self {
        Self {
            kind: Kind::File(content),
            mode,
            uid: 0,
            gid: 0,
        }
    }

    pub(super) fn link(target: &str) -> Self {
        Self {
            kind: Kind::Link(target.to_owned()),
            mode: 0o777,
            uid: 0,
            gid: 0,
        }
    }
}

/// Files by their path in the image, which begins with no `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Adds or replaces a file, with the folders above it where they are missing.
    pub(super) fn insert(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            if let Some(parent) = path.get(..end) {
                self.0.entry(parent.to_owned()).or_insert_with(Node::folder);
            }
        }
        self.0.insert(path.to_owned(), node);
    }

    /// Adds all of `other`, in the place of what was there; a folder that is in both stays as it is.
    pub(super) fn merge(&mut self, other: Self) {
        for (path, node) in other.0 {
            let is_folder = |node: &Node| node.kind == Kind::Folder;
            if !(is_folder(&node) && self.get(&path).is_some_and(is_folder)) {
                self.insert(&path, node);
            }
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Takes `path` and all below it out; says whether there was something.
    pub(super) fn remove(&mut self, path: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|name, _| !is_at_or_below(name, path));
        self.0.len() != before
    }

    /// Puts what is at `from` at `to`.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let node = self
            .0
            .remove(from)
            .with_context(|| format!("there is no {from} to move"))?;
        self.insert(to, node);
        Ok(())
    }

    /// Takes over what a tar archive holds.
    pub(super) fn extend_from_tar(&mut self, archive: impl Read) -> Result<()> {
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            let path = text(&entry.path_bytes())?
                .trim_start_matches("./")
                .trim_end_matches('/')
                .to_owned();
            if path.is_empty() || path == "." {
                continue;
            }
            let target = entry
                .link_name_bytes()
                .map(|name| text(&name).map(str::to_owned))
                .transpose()?;
            let target = || {
                target
                    .clone()
                    .with_context(|| format!("the link {path} has no target"))
            };
            let kind = match entry.header().entry_type() {
                tar::EntryType::Directory => Kind::Folder,
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content)?;
                    Kind::File(content)
                }
                tar::EntryType::Symlink => Kind::Link(target()?),
                tar::EntryType::Link => Kind::HardLink(target()?.trim_start_matches("./").to_owned()),
                other => bail!("{path} is of a kind that a package should not hold: {other:?}"),
            };
            let header = entry.header();
            let number = |id: u64| u32::try_from(id).context("an owner beyond 32 bits");
            let (uid, gid) = (number(header.uid()?)?, number(header.gid()?)?);
            self.insert(
                &path,
                Node {
                    kind,
                    mode: header.mode()? & 0o7777,
                    uid,
                    gid,
                },
            );
        }
        Ok(())
    }

    /// What is here and not the same in `below`.
    pub(super) fn over(&self, below: &Self) -> Self {
        let differs = |(path, node): &(&String, &Node)| below.get(path) != Some(*node);
        Self(
            self.0
                .iter()
                .filter(differs)
                .map(|(path, node)| (path.clone(), node.clone()))
                .collect(),
        )
    }

    /// Fails if a path leads through something that is not a folder.
    pub(super) fn check(&self) -> Result<()> {
        for path in self.0.keys() {
            for (end, _) in path.match_indices('/') {
                let parent = path.get(..end).unwrap_or_default();
                if !self.get(parent).is_some_and(|node| node.kind == Kind::Folder) {
                    bail!("{path} lies below {parent}, which is no folder");
                }
            }
        }
        Ok(())
    }

    /// The layer's archive (image-spec, `layer.md`), with a whiteout for each of `removed`.
    pub(super) fn to_tar(&self, removed: &[String]) -> Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        let header = |kind: tar::EntryType, mode: u32, uid: u32, gid: u32, size: usize| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(uid.into());
            header.set_gid(gid.into());
            header.set_mtime(EPOCH);
            header.set_size(size as u64);
            header
        };
        let mut links = Vec::new();
        for (path, node) in &self.0 {
            let of = |kind, size| header(kind, node.mode, node.uid, node.gid, size);
            match &node.kind {
                Kind::Folder => {
                    builder.append_data(
                        &mut of(tar::EntryType::Directory, 0),
                        format!("{path}/"),
                        std::io::empty(),
                    )?;
                }
                Kind::File(content) => {
                    builder.append_data(
                        &mut of(tar::EntryType::Regular, content.len()),
                        path,
                        content.as_slice(),
                    )?;
                }
                Kind::Link(target) => {
                    builder.append_link(&mut of(tar::EntryType::Symlink, 0), path, target)?
                }
                Kind::HardLink(target) => links.push((path, of(tar::EntryType::Link, 0), target)),
            }
        }
        // A hard link comes after what it links to.
        for (path, mut header, target) in links {
            builder.append_link(&mut header, path, target)?;
        }
        for path in removed {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let whiteout = format!("{parent}{}.wh.{name}", if parent.is_empty() { "" } else { "/" });
            builder.append_data(
                &mut header(tar::EntryType::Regular, 0, 0, 0, 0),
                whiteout,
                std::io::empty(),
            )?;
        }
        let mut bytes = builder.into_inner()?;
        bytes.flush()?;
        debug_assert_eq!(bytes.len() % BLOCK, 0);
        Ok(bytes)
    }
}

fn is_at_or_below(name: &str, path: &str) -> bool {
    name.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).context("a package holds a path that is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(archive);
        archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_hard_links_after_their_file() {
        let mut tree = Tree::default();
        tree.insert(
            "a/link",
            Node {
                kind: Kind::HardLink("z".into()),
                mode: 0o644,
                uid: 0,
                gid: 0,
            },
        );
        tree.insert("z", Node::file(b"z".to_vec(), 0o644));
        tree.insert("a/b/file", Node::file(Vec::new(), 0o644));
        assert_eq!(
            names(&tree.to_tar(&[]).unwrap()),
            ["a/", "a/b/", "a/b/file", "z", "a/link"]
        );
    }

    #[test]
    fn a_removed_path_becomes_a_whiteout_beside_it() {
        let tree = Tree::default();
        let removed = ["etc/issue".to_owned(), "games".to_owned()];
        assert_eq!(
            names(&tree.to_tar(&removed).unwrap()),
            ["etc/.wh.issue", ".wh.games"]
        );
    }

    #[test]
    fn an_archive_read_back_is_the_same_tree() {
        let mut tree = Tree::default();
        let long = format!("{}/file", "folder/".repeat(40).trim_end_matches('/'));
        tree.insert(
            &long,
            Node {
                kind: Kind::File(b"text".to_vec()),
                mode: 0o4755,
                uid: 999,
                gid: 7,
            },
        );
        tree.insert("link", Node::link(&long));
        let mut back = Tree::default();
        back.extend_from_tar(tree.to_tar(&[]).unwrap().as_slice())
            .unwrap();
        assert_eq!(back, tree);
    }

    #[test]
    fn a_path_through_a_link_is_refused() {
        let mut tree = Tree::default();
        tree.insert("lib", Node::link("usr/lib"));
        tree.0.insert("lib/file".into(), Node::file(Vec::new(), 0o644));
        assert!(tree.check().unwrap_err().to_string().contains("lib/file"));
    }

    #[test]
    fn a_folder_below_keeps_its_mode_when_a_package_has_it_too() {
        let mut below = Tree::default();
        below.insert(
            "root",
            Node {
                mode: 0o700,
                ..Node::folder()
            },
        );
        let mut above = Tree::default();
        above.insert("root/file", Node::file(Vec::new(), 0o644));
        let mut merged = below.clone();
        merged.merge(above);
        assert_eq!(
            merged.over(&below).0.into_keys().collect::<Vec<_>>(),
            ["root/file"]
        );
    }

    #[test]
    fn a_layer_holds_only_what_is_new_or_changed() {
        let mut below = Tree::default();
        below.insert("same", Node::file(b"1".to_vec(), 0o644));
        below.insert("changed", Node::file(b"1".to_vec(), 0o644));
        let mut above = below.clone();
        above.insert("changed", Node::file(b"2".to_vec(), 0o644));
        assert_eq!(above.over(&below).0.into_keys().collect::<Vec<_>>(), ["changed"]);
    }
}
