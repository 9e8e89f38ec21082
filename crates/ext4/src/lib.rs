//! Makes an ext4 file system in a host file, on any host: macOS and Windows have no mkfs.
//!
//! The layout is that of the kernel's Documentation/filesystems/ext4 ("Data Structures and Algorithms"). Of
//! its many features this takes the smallest set that is modern, fast to mount and cheap to keep in a sparse
//! file:
//!
//! - `extent`, `filetype`, `dir_index`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize`, `ext_attr`:
//!   what every ext4 of today has and what overlayfs and containers rely on (extended attributes,
//!   nanosecond times in inodes of 256 bytes).
//! - `metadata_csum`: every structure carries a CRC-32C. It also brings the *uninitialised groups*: a
//!   descriptor says that a bitmap is still what the layout implies, so neither mkfs nor the kernel writes
//!   it. This is what lets a disk of 64 GiB cost a few hundred KiB.
//! - `flex_bg`: the bitmaps and inode tables of 16 groups lie together, which leaves the 15 other groups
//!   wholly free, and so uninitialised and contiguous.
//! - `64bit`: descriptors of 64 bytes. The block numbers do not need it below 16 TiB, the whole 32 bits of
//!   the bitmaps' checksums do.
//! - `sparse_super`: copies of the superblock and the descriptors in groups 1 and powers of 3, 5 and 7 only.
//! - `has_journal`: a jbd2 journal of at most 64 MiB in one extent. The guest dies with its VMM at any time;
//!   the journal is what makes the next boot mount at once.
//!
//! Left out: `resize_inode` (it keeps room for descriptors to grow a file system on line; the disk is made at
//! its final size, sparse), `bigalloc`, `orphan_file`, `fast_commit`, quota.
//!
//! The file is all zeros where nothing is written, so the inode tables are marked as zeroed: otherwise the
//! kernel would zero them in the background, a gigabyte of real host disk for 64 GiB.

mod block;
mod checksum;
mod directory;
mod group;
mod inode;
mod journal;
mod layout;
mod superblock;
mod sys;

use std::fs::File;
use std::io;
use std::time::SystemTime;

use checksum::Checksum;
use layout::Layout;

pub use layout::{MAX_BYTES, MIN_BYTES};

/// The longest label, in bytes of UTF-8.
pub const MAX_LABEL_BYTES: usize = 16;

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The length that the file gets, in bytes: [`MIN_BYTES`] to [`MAX_BYTES`]. What lies beyond the last
    /// whole block of 4096 bytes, and a last block group too small for its own tables, stays unused.
    pub bytes: u64,
    /// Identifies the file system and seeds its checksums and directory hashes: make it random.
    pub uuid: [u8; 16],
    /// At most [`MAX_LABEL_BYTES`], without NUL. May be empty.
    pub label: String,
    /// The time stamps of the file system and its two directories.
    pub created: SystemTime,
}

/// The file system could not be made. The file then holds no ext4 superblock.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The size is out of bounds.
    #[error("an ext4 disk of {0} bytes cannot be made: choose {MIN_BYTES} to {MAX_BYTES} bytes")]
    Size(u64),
    /// The label does not fit its field.
    #[error("the disk label {0:?} cannot be used: give at most {MAX_LABEL_BYTES} bytes without NUL")]
    Label(String),
    /// The host refused to write.
    #[error("the disk file could not be written: {0}")]
    Io(#[from] io::Error),
}

/// Makes an empty ext4 file system in `file`, which must be open for writing and loses what it holds.
///
/// The file becomes sparse and `options.bytes` long. Blocks until all is on stable storage. The superblock is
/// written after everything else has reached the disk: when this is cut short, the file is not taken for an
/// ext4 file system.
pub fn format(file: &File, options: &Options) -> Result<(), FormatError> {
    let layout = Layout::new(options.bytes)?;
    let label = label_field(&options.label)?;
    let checksum = Checksum::of_file_system(&options.uuid);

    // Down to nothing first: everything that is not written below has to read as zeros.
    file.set_len(0)?;
    sys::mark_sparse(file)?;
    file.set_len(options.bytes)?;

    let created = inode::Timestamp::from(options.created);
    directory::write(file, &layout, checksum)?;
    journal::write(file, &layout, &options.uuid)?;
    inode::write(file, &layout, checksum, created)?;
    let descriptors = group::write(file, &layout, checksum)?;

    let superblock = superblock::Parameters {
        layout: &layout,
        uuid: options.uuid,
        label,
        created,
    };
    for group in layout
        .groups()
        .filter(|&group| group != 0 && layout.has_superblock(group))
    {
        superblock.write(file, group)?;
        sys::write_all_at(file, &descriptors, block::offset(layout.descriptors(group)))?;
    }
    sys::write_all_at(file, &descriptors, block::offset(layout.descriptors(0)))?;
    file.sync_all()?;

    superblock.write(file, 0)?;
    file.sync_all()?;
    Ok(())
}

fn label_field(label: &str) -> Result<[u8; MAX_LABEL_BYTES], FormatError> {
    let mut field = [0; MAX_LABEL_BYTES];
    match field.get_mut(..label.len()) {
        Some(start) if !label.contains('\0') => start.copy_from_slice(label.as_bytes()),
        _ => return Err(FormatError::Label(label.to_owned())),
    }
    Ok(field)
}
