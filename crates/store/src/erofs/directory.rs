//! Folder contents (`struct erofs_dirent`): blocks that each hold entries of 12 bytes and then their names. All
//! names of a folder, `.` and `..` too, are sorted bytewise over all its blocks, for the kernel searches by
//! bisection.

use super::{BLOCK_LENGTH, FileType};

const ENTRY_LENGTH: usize = 12;

/// What a name leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub(crate) nid: u64,
    pub(crate) file_type: FileType,
}

/// The sorted entries of one folder.
pub(crate) struct DirectoryEntries<'a>(Vec<(&'a [u8], Child)>);

impl<'a> DirectoryEntries<'a> {
    /// The entries of a folder, its own and its parent's inode number among them.
    pub(crate) fn new(own: u64, parent: u64, children: impl Iterator<Item = (&'a [u8], Child)>) -> Self {
        let folder = |nid| Child {
            nid,
            file_type: FileType::Directory,
        };
        let mut entries = vec![(b".".as_slice(), folder(own)), (b"..".as_slice(), folder(parent))];
        entries.extend(children);
        entries.sort_unstable_by_key(|(name, _)| *name);
        Self(entries)
    }

    /// Bytes of a folder with these entries: whole blocks, and what the last one uses.
    pub(crate) fn length(&self) -> u64 {
        let (mut blocks, mut used) = (0_u64, 0);
        for (name, _) in &self.0 {
            let needed = ENTRY_LENGTH + name.len();
            if used + needed > BLOCK_LENGTH {
                blocks += 1;
                used = 0;
            }
            used += needed;
        }
        blocks * BLOCK_LENGTH as u64 + used as u64
    }

    /// Calls `write` with each block in turn: full ones padded to their end, the last one not.
    pub(super) fn blocks<E>(&self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut rest = self.0.as_slice();
        let mut block = Vec::with_capacity(BLOCK_LENGTH);
        while !rest.is_empty() {
            let mut used = 0;
            let fits = rest.iter().take_while(|(name, _)| {
                used += ENTRY_LENGTH + name.len();
                used <= BLOCK_LENGTH
            });
            let (now, later) = rest.split_at(fits.count().max(1).min(rest.len()));
            block.clear();
            encode(now, &mut block);
            if !later.is_empty() {
                block.resize(BLOCK_LENGTH, 0);
            }
            write(&block)?;
            rest = later;
        }
        Ok(())
    }
}

fn encode(entries: &[(&[u8], Child)], block: &mut Vec<u8>) {
    let mut name_offset = entries.len() * ENTRY_LENGTH;
    for (name, child) in entries {
        block.extend_from_slice(&child.nid.to_le_bytes());
        // Names are at most 255 bytes and a block 4096, so an offset fits.
        block.extend_from_slice(&(name_offset as u16).to_le_bytes());
        block.extend_from_slice(&[child.file_type.entry_type(), 0]);
        name_offset += name.len();
    }
    for (name, _) in entries {
        block.extend_from_slice(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_bytewise_with_the_dots_in_their_place() {
        let child = Child {
            nid: 9,
            file_type: FileType::Regular,
        };
        let names: [&[u8]; 4] = [b"b", b"-", b"..a", b"\xff"];
        let entries = DirectoryEntries::new(1, 2, names.into_iter().map(|name| (name, child)));
        let sorted: Vec<&[u8]> = entries.0.iter().map(|(name, _)| *name).collect();
        assert_eq!(sorted, [b"-".as_slice(), b".", b"..", b"..a", b"b", b"\xff"]);
    }

    #[test]
    fn the_length_told_is_the_length_written() {
        let child = Child {
            nid: 9,
            file_type: FileType::Regular,
        };
        let names: Vec<Vec<u8>> = (0..400)
            .map(|index| format!("{index:0width$}", width = 4 + index % 200).into_bytes())
            .collect();
        for count in [0, 1, 50, 400] {
            let children = names.iter().take(count).map(|name| (name.as_slice(), child));
            let entries = DirectoryEntries::new(1, 2, children);
            let mut written = 0;
            entries
                .blocks(|block| {
                    assert!(block.len() <= BLOCK_LENGTH);
                    written += block.len() as u64;
                    Ok::<(), ()>(())
                })
                .unwrap();
            assert_eq!(written, entries.length());
        }
    }
}
