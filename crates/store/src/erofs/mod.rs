//! Writing EROFS, the kernel's read-only file system (Documentation/filesystems/erofs.rst and the structures of
//! fs/erofs/erofs_fs.h).
//!
//! The image is written in one pass, in the order in which a tar archive brings its files: data goes straight to
//! its final blocks, and an inode follows as soon as its file is whole. Only folders wait until the end, because
//! a folder lists the places of all its children. What that costs in memory is a name and an inode number a file.
//!
//! ```text
//! block 0   1024: superblock, 1280: root inode (EROFS keeps its number in 16 bits, so it has a fixed place)
//! block 1…  data blocks and inode blocks, mixed as they come; last the folders
//! ```
//!
//! Inodes are of the extended kind (32-bit IDs, nanoseconds, 64-bit sizes). A file's last partial block lies
//! behind its inode (*inline tail*) where it fits. Sparse files are chunk based, so a hole takes no space. Nothing
//! is compressed: the layers arrive compressed, and a guest that maps the file reads without inflating.
//! Time stamps of the file system, its UUID and the order of everything depend on the archive alone, so the same
//! layer always becomes the same file.

mod directory;
mod inode;
mod sparse;
mod writer;
mod xattr;

pub(crate) use directory::{Child, DirectoryEntries};
pub(crate) use inode::{Attributes, FileType, encode_device, told_blocks};
pub(crate) use writer::{Extent, Writer};
pub(crate) use xattr::Xattrs;

/// Bytes in a block.
pub(crate) const BLOCK: u64 = 4096;
/// The same as a buffer length.
pub(crate) const BLOCK_LENGTH: usize = 4096;
/// Longest name of a directory entry, in bytes.
pub(crate) const MAX_NAME: usize = 255;
