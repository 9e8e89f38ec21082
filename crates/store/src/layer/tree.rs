//! The names of a layer while it is being read, and what they lead to.
//!
//! This is where an archive's names are resolved: never on the host's file system, always in here, so there is
//! nothing outside for `..`, an absolute name or a symbolic link to reach.

use std::collections::BTreeMap;

use crate::config::Limits;
use crate::erofs::{Attributes, Child, DirectoryEntries, FileType, MAX_NAME, Writer, Xattrs};
use crate::error::LayerError;

/// Longest name of an entry and longest target of a symbolic link, in bytes: the kernel's own limit.
const MAX_PATH: usize = 4095;
/// Most symbolic links followed in one name, as in the kernel.
const MAX_LINKS: usize = 40;
/// What a folder has that the archive does not tell of.
const IMPLIED: Attributes = Attributes {
    permissions: 0o755,
    user: 0,
    group: 0,
    seconds: 0,
    nanoseconds: 0,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DirectoryId(usize);

/// A file that is not a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafId(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory(DirectoryId),
    Leaf(LeafId),
}

#[derive(Debug)]
struct Directory {
    attributes: Attributes,
    xattrs: Xattrs,
    children: BTreeMap<Box<[u8]>, Node>,
    parent: DirectoryId,
    nid: u64,
}

#[derive(Debug)]
struct Leaf {
    nid: u64,
    kind: LeafKind,
    links: u32,
}

/// What of a file matters for the names of others.
#[derive(Debug)]
pub(super) enum LeafKind {
    /// Hides a name of lower layers.
    Whiteout,
    Symlink(Box<[u8]>),
    Other(FileType),
}

impl LeafKind {
    fn file_type(&self) -> FileType {
        match self {
            Self::Whiteout => FileType::Character,
            Self::Symlink(_) => FileType::Symlink,
            Self::Other(file_type) => *file_type,
        }
    }
}

/// A place in the tree: a name in a folder.
#[derive(Debug)]
pub(super) struct Spot {
    parent: DirectoryId,
    name: Box<[u8]>,
}

impl Spot {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Another name in the same folder.
    pub(super) fn renamed(&self, name: &[u8]) -> Self {
        Self {
            parent: self.parent,
            name: name.into(),
        }
    }
}

/// All names of one layer.
#[derive(Debug)]
pub(super) struct Tree {
    directories: Vec<Directory>,
    leaves: Vec<Leaf>,
    entries_left: usize,
    metadata_left: usize,
}

const ROOT: DirectoryId = DirectoryId(0);

impl Tree {
    pub(super) fn new(limits: &Limits) -> Self {
        let root = Directory {
            attributes: IMPLIED,
            xattrs: Xattrs::default(),
            children: BTreeMap::new(),
            parent: ROOT,
            nid: Writer::ROOT,
        };
        Self {
            directories: vec![root],
            leaves: Vec::new(),
            entries_left: limits.entries,
            metadata_left: limits.metadata,
        }
    }

    /// Where an entry of this name belongs; `None` for the root itself. Folders on the way are made when they are
    /// missing, and symbolic links on the way are followed, both within the layer.
    pub(super) fn locate(&mut self, path: &[u8]) -> Result<Option<Spot>, LayerError> {
        let components = clean(path)?;
        let Some((last, parents)) = components.split_last() else {
            return Ok(None);
        };
        let parent = self.walk(path, parents)?;
        Ok(Some(Spot {
            parent,
            name: (*last).into(),
        }))
    }

    fn walk(&mut self, path: &[u8], parents: &[&[u8]]) -> Result<DirectoryId, LayerError> {
        let mut links = 0;
        let mut current = ROOT;
        // Components still to go, next one last.
        let mut pending: Vec<Box<[u8]>> = parents.iter().rev().map(|part| Box::from(*part)).collect();
        while let Some(name) = pending.pop() {
            if name.as_ref() == b".." {
                current = self.directory(current).map_or(ROOT, |directory| directory.parent);
                continue;
            }
            match self.child(current, &name) {
                Some(Node::Directory(next)) => current = next,
                Some(Node::Leaf(leaf)) => match self.leaves.get(leaf.0).map(|leaf| &leaf.kind) {
                    Some(LeafKind::Symlink(target)) => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(refused(path, "leads through too many symbolic links"));
                        }
                        if target.starts_with(b"/") {
                            current = ROOT;
                        }
                        let parts = target.split(|byte| *byte == b'/');
                        let parts: Vec<_> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
                        if parts.iter().any(|part| part.len() > MAX_NAME) {
                            return Err(refused(path, "leads through a name longer than 255 bytes"));
                        }
                        pending.extend(parts.into_iter().rev().map(Box::from));
                    }
                    Some(LeafKind::Whiteout) => {
                        let spot = Spot {
                            parent: current,
                            name,
                        };
                        current = self.make_directory(spot, IMPLIED, Xattrs::default())?;
                    }
                    _ => return Err(refused(path, "lies below something that is not a folder")),
                },
                None => {
                    current = self.make_directory(
                        Spot {
                            parent: current,
                            name,
                        },
                        IMPLIED,
                        Xattrs::default(),
                    )?;
                }
            }
        }
        Ok(current)
    }

    /// A folder. An existing one keeps its content and takes the new attributes; anything else is replaced.
    pub(super) fn add_directory(
        &mut self,
        spot: Option<Spot>,
        attributes: Attributes,
        xattrs: Xattrs,
    ) -> Result<(), LayerError> {
        let existing = match &spot {
            None => Some(Node::Directory(ROOT)),
            Some(spot) => self.child(spot.parent, &spot.name),
        };
        match (existing, spot) {
            (Some(Node::Directory(id)), _) => {
                self.charge(xattrs.weight())?;
                if let Some(directory) = self.directories.get_mut(id.0) {
                    let opaque = directory.xattrs.is_opaque();
                    directory.attributes = attributes;
                    directory.xattrs = xattrs;
                    if opaque {
                        directory.xattrs.set_opaque();
                    }
                }
                Ok(())
            }
            (_, Some(spot)) => self.make_directory(spot, attributes, xattrs).map(|_| ()),
            (_, None) => Ok(()),
        }
    }

    /// A file that is in the image as `nid`; what had the name before is gone.
    pub(super) fn add_leaf(&mut self, spot: Spot, nid: u64, kind: LeafKind) -> Result<(), LayerError> {
        if let LeafKind::Symlink(target) = &kind {
            self.charge(target.len())?;
        }
        let id = LeafId(self.leaves.len());
        self.leaves.push(Leaf { nid, kind, links: 0 });
        self.link(spot, id)
    }

    /// One more name for a file.
    pub(super) fn link(&mut self, spot: Spot, leaf: LeafId) -> Result<(), LayerError> {
        // Before the old name goes: it may be the same file's.
        if let Some(leaf) = self.leaves.get_mut(leaf.0) {
            leaf.links = leaf.links.saturating_add(1);
        }
        self.insert(spot, Node::Leaf(leaf)).map(|_| ())
    }

    /// The file that a hard link names.
    pub(super) fn link_target(&mut self, name: &[u8], target: &[u8]) -> Result<LeafId, LayerError> {
        let components = clean(target)?;
        let found = match components.split_last() {
            None => Some(Node::Directory(ROOT)),
            Some((last, parents)) => {
                let parent = self.walk(target, parents)?;
                self.child(parent, last)
            }
        };
        match found {
            Some(Node::Leaf(leaf)) => match self.leaves.get(leaf.0).map(|leaf| &leaf.kind) {
                Some(LeafKind::Whiteout) | None => Err(refused(
                    name,
                    "is a hard link to a file that the layer does not have",
                )),
                Some(_) => Ok(leaf),
            },
            Some(Node::Directory(_)) => Err(refused(name, "is a hard link to a folder")),
            None => Err(refused(
                name,
                "is a hard link to a file that the layer does not have",
            )),
        }
    }

    /// Whether a whiteout is to be placed there. A name that the layer itself has stays (a whiteout is about lower
    /// layers only), and a folder hides what lower layers have in it.
    pub(super) fn needs_whiteout(&mut self, spot: &Spot) -> bool {
        match self.child(spot.parent, &spot.name) {
            Some(Node::Directory(id)) => {
                if let Some(directory) = self.directories.get_mut(id.0) {
                    directory.xattrs.set_opaque();
                }
                false
            }
            Some(Node::Leaf(_)) => false,
            None => true,
        }
    }

    /// Marks the folder that the spot is in as opaque.
    pub(super) fn set_parent_opaque(&mut self, spot: &Spot) {
        if let Some(directory) = self.directories.get_mut(spot.parent.0) {
            directory.xattrs.set_opaque();
        }
    }

    /// Writes all folders and link counts into the image.
    pub(super) fn finish(mut self, writer: &mut Writer) -> Result<(), LayerError> {
        let live = self.live_directories();
        for id in live.iter().filter(|id| **id != ROOT) {
            let Some(directory) = self.directory(*id) else {
                continue;
            };
            // The numbers are not known yet, but a length does not depend on them.
            let length = self.entries(directory).length();
            let nid = writer.reserve_directory(&directory.xattrs, length)?;
            if let Some(directory) = self.directories.get_mut(id.0) {
                directory.nid = nid;
            }
        }
        for id in &live {
            let Some(directory) = self.directory(*id) else {
                continue;
            };
            let folders = directory
                .children
                .values()
                .filter(|node| matches!(node, Node::Directory(_)))
                .count();
            let links = u32::try_from(folders).unwrap_or(u32::MAX).saturating_add(2);
            let entries = self.entries(directory);
            writer.directory(
                directory.nid,
                directory.attributes,
                &directory.xattrs,
                links,
                &entries,
            )?;
        }
        for leaf in self.leaves.iter().filter(|leaf| leaf.links > 1) {
            writer.set_links(leaf.nid, leaf.links)?;
        }
        Ok(())
    }

    fn entries<'a>(&'a self, directory: &'a Directory) -> DirectoryEntries<'a> {
        let parent = self
            .directory(directory.parent)
            .map_or(Writer::ROOT, |parent| parent.nid);
        let children = directory.children.iter().filter_map(|(name, node)| {
            let child = match node {
                Node::Directory(id) => Child {
                    nid: self.directory(*id)?.nid,
                    file_type: FileType::Directory,
                },
                Node::Leaf(id) => {
                    let leaf = self.leaves.get(id.0)?;
                    Child {
                        nid: leaf.nid,
                        file_type: leaf.kind.file_type(),
                    }
                }
            };
            Some((name.as_ref(), child))
        });
        DirectoryEntries::new(directory.nid, parent, children)
    }

    /// Every folder that is still in the tree, a parent before its children.
    fn live_directories(&self) -> Vec<DirectoryId> {
        let mut live = vec![ROOT];
        let mut next = 0;
        while let Some(directory) = live.get(next).and_then(|id| self.directory(*id)) {
            live.extend(directory.children.values().filter_map(|node| match node {
                Node::Directory(id) => Some(*id),
                Node::Leaf(_) => None,
            }));
            next += 1;
        }
        live
    }

    fn make_directory(
        &mut self,
        spot: Spot,
        attributes: Attributes,
        mut xattrs: Xattrs,
    ) -> Result<DirectoryId, LayerError> {
        self.charge(xattrs.weight())?;
        if let Some(Node::Leaf(leaf)) = self.child(spot.parent, &spot.name)
            && let Some(LeafKind::Whiteout) = self.leaves.get(leaf.0).map(|leaf| &leaf.kind)
        {
            // The layer removes the name and then makes it anew.
            xattrs.set_opaque();
        }
        let id = DirectoryId(self.directories.len());
        let parent = spot.parent;
        self.directories.push(Directory {
            attributes,
            xattrs,
            children: BTreeMap::new(),
            parent,
            nid: 0,
        });
        self.insert(spot, Node::Directory(id))?;
        Ok(id)
    }

    fn insert(&mut self, spot: Spot, node: Node) -> Result<(), LayerError> {
        self.entries_left = self
            .entries_left
            .checked_sub(1)
            .ok_or_else(|| LayerError::Limit("it has more files than a layer may have".to_owned()))?;
        self.charge(spot.name.len())?;
        let parent = self.directories.get_mut(spot.parent.0);
        let replaced = parent.and_then(|parent| parent.children.insert(spot.name, node));
        // Without recursion: a hostile archive nests as deep as it likes.
        let mut gone: Vec<Node> = replaced.into_iter().collect();
        while let Some(node) = gone.pop() {
            match node {
                Node::Directory(id) => {
                    if let Some(directory) = self.directories.get_mut(id.0) {
                        gone.extend(std::mem::take(&mut directory.children).into_values());
                    }
                }
                Node::Leaf(id) => {
                    if let Some(leaf) = self.leaves.get_mut(id.0) {
                        leaf.links = leaf.links.saturating_sub(1);
                    }
                }
            }
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), LayerError> {
        self.metadata_left = self.metadata_left.checked_sub(bytes).ok_or_else(|| {
            LayerError::Limit("its names take more memory than a layer may have".to_owned())
        })?;
        Ok(())
    }

    fn directory(&self, id: DirectoryId) -> Option<&Directory> {
        self.directories.get(id.0)
    }

    fn child(&self, parent: DirectoryId, name: &[u8]) -> Option<Node> {
        self.directory(parent)?.children.get(name).copied()
    }
}

/// The components of a name relative to the root of the layer, with `.` and `..` worked out as in Docker.
fn clean(path: &[u8]) -> Result<Vec<&[u8]>, LayerError> {
    if path.len() > MAX_PATH {
        return Err(refused(path, "has a name longer than 4095 bytes"));
    }
    let mut components = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if components.pop().is_none() {
                    return Err(refused(path, "leads out of the layer"));
                }
            }
            part if part.len() > MAX_NAME => {
                return Err(refused(path, "has a component longer than 255 bytes"));
            }
            part => components.push(part),
        }
    }
    Ok(components)
}

/// The error of an entry, with a name that is fit to show.
pub(super) fn refused(path: &[u8], reason: &'static str) -> LayerError {
    let name = String::from_utf8_lossy(path.get(..200).unwrap_or(path)).into_owned();
    LayerError::Path { name, reason }
}
