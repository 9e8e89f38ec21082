//! Inodes (`struct erofs_inode_extended`, 64 bytes) and the superblock (`struct erofs_super_block`, 128 bytes).

/// Bytes of an extended inode.
pub(super) const INODE_LENGTH: usize = 64;
/// Inode numbers (*nids*) count units of this many bytes from the start of the image.
pub(super) const SLOT: u64 = 32;
/// Where the superblock lies.
pub(super) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Where the root inode lies, in block 0 behind the superblock.
pub(super) const ROOT_OFFSET: u64 = 1280;
/// Offset of the link count within an inode.
pub(super) const LINK_COUNT_OFFSET: u64 = 44;

const MAGIC: u32 = 0xe0f5_e1e2;
/// Where in the superblock the number of blocks is.
const BLOCKS_OFFSET: usize = 36;
const FEATURE_COMPAT_MTIME: u32 = 0x2;
const FEATURE_INCOMPAT_CHUNKED_FILE: u32 = 0x4;
const BLOCK_BITS: u8 = 12;

/// Where the bytes of a file are, field `i_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// All in blocks.
    Plain,
    /// Whole blocks, then the rest behind the inode.
    InlineTail,
    /// A map of chunks behind the inode.
    Chunks,
}

impl Layout {
    fn format(self) -> u16 {
        let layout: u16 = match self {
            Self::Plain => 0,
            Self::InlineTail => 2,
            Self::Chunks => 4,
        };
        // Bit 0: the inode is of the extended kind.
        1 | layout << 1
    }
}

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    Regular,
    Directory,
    Character,
    Block,
    Fifo,
    Symlink,
}

impl FileType {
    /// `d_type` of a directory entry.
    pub(super) fn entry_type(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::Character => 3,
            Self::Block => 4,
            Self::Fifo => 5,
            Self::Symlink => 7,
        }
    }

    fn mode_bits(self) -> u16 {
        match self {
            Self::Regular => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Character => 0o020_000,
            Self::Block => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Symlink => 0o120_000,
        }
    }
}

/// Owner, permissions and time of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission, set-ID and sticky bits.
    pub(crate) permissions: u16,
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// Seconds since 1970, negative before.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// A device number as EROFS keeps it (the kernel's `new_encode_dev`).
pub(crate) fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
}

/// All fields of an inode.
pub(super) struct Inode {
    pub(super) layout: Layout,
    pub(super) xattr_count: u16,
    pub(super) file_type: FileType,
    pub(super) attributes: Attributes,
    pub(super) size: u64,
    /// First block, chunk format or device number.
    pub(super) place: u32,
    pub(super) number: u32,
    pub(super) links: u32,
}

impl Inode {
    pub(super) fn encode(&self) -> [u8; INODE_LENGTH] {
        let mut bytes = Bytes::default();
        bytes.put(&self.layout.format().to_le_bytes());
        bytes.put(&self.xattr_count.to_le_bytes());
        let mode = self.file_type.mode_bits() | (self.attributes.permissions & 0o7777);
        bytes.put(&mode.to_le_bytes());
        bytes.put(&[0; 2]);
        bytes.put(&self.size.to_le_bytes());
        bytes.put(&self.place.to_le_bytes());
        bytes.put(&self.number.to_le_bytes());
        bytes.put(&self.attributes.user.to_le_bytes());
        bytes.put(&self.attributes.group.to_le_bytes());
        bytes.put(&self.attributes.seconds.to_le_bytes());
        bytes.put(&self.attributes.nanoseconds.to_le_bytes());
        bytes.put(&self.links.to_le_bytes());
        bytes.finish()
    }
}

/// The superblock of an image of `blocks` blocks with `inodes` inodes.
pub(super) fn superblock(blocks: u32, inodes: u64) -> [u8; 128] {
    let mut bytes = Bytes::default();
    bytes.put(&MAGIC.to_le_bytes());
    bytes.put(&[0; 4]); // checksum, not used: the layer's digest covers its content
    bytes.put(&FEATURE_COMPAT_MTIME.to_le_bytes());
    bytes.put(&[BLOCK_BITS, 0]);
    bytes.put(&((ROOT_OFFSET / SLOT) as u16).to_le_bytes());
    bytes.put(&inodes.to_le_bytes());
    bytes.put(&[0; 12]); // build time
    bytes.put(&blocks.to_le_bytes());
    bytes.put(&[0; 4]); // first block of inode numbers: nids count from block 0
    bytes.put(&[0; 4]); // first block of shared attributes: none
    bytes.put(&[0; 32]); // UUID and volume name
    bytes.put(&FEATURE_INCOMPAT_CHUNKED_FILE.to_le_bytes());
    bytes.finish()
}

/// How many blocks an image has by its superblock, if `head`, its beginning, is that of an EROFS image.
pub(crate) fn told_blocks(head: &[u8]) -> Option<u32> {
    let superblock = head.get(SUPERBLOCK_OFFSET as usize..)?;
    let field = |offset: usize| {
        let bytes = superblock.get(offset..offset + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    (field(0)? == MAGIC).then(|| field(BLOCKS_OFFSET))?
}

/// A fixed number of bytes, filled from the front, zero behind.
struct Bytes<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            used: 0,
        }
    }
}

impl<const N: usize> Bytes<N> {
    fn put(&mut self, field: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.used).zip(field) {
            *slot = *byte;
        }
        self.used += field.len();
    }

    fn finish(self) -> [u8; N] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_tells_how_long_its_image_is() {
        let mut head = vec![0; SUPERBLOCK_OFFSET as usize];
        head.extend(superblock(77, 5));
        assert_eq!(told_blocks(&head), Some(77));
        assert_eq!(told_blocks(&head[..SUPERBLOCK_OFFSET as usize + 38]), None);
        head[SUPERBLOCK_OFFSET as usize] ^= 1;
        assert_eq!(told_blocks(&head), None);
    }

    #[test]
    fn a_device_number_is_encoded_as_the_kernel_decodes_it() {
        let decode = |device: u32| {
            (
                (device & 0xfff00) >> 8,
                (device & 0xff) | ((device >> 12) & 0xfff00),
            )
        };
        for (major, minor) in [(0, 0), (1, 3), (8, 1), (259, 70_000), (4095, 0xf_ffff)] {
            assert_eq!(decode(encode_device(major, minor)), (major, minor));
        }
    }
}
