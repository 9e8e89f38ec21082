//! The superblock (ext4: "The Super Block"): 1024 bytes, at byte 1024 of the disk and at the start of every
//! group that has a copy.

use std::fs::File;
use std::io;

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::checksum::Checksum;
use crate::inode::{self, ExtentRoot, Timestamp};
use crate::layout::{BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, INODE_BYTES, LOG_GROUPS_PER_FLEX, Layout};
use crate::{MAX_LABEL_BYTES, block, sys};

/// Where the superblock lies in the first block, which leaves room for a boot sector.
const PRIMARY_OFFSET: u64 = 1024;

const MAGIC: u16 = 0xef53;
const CLEAN: u16 = 1;
/// On a damaged structure the guest goes on read-only rather than spread the damage.
const ERRORS_REMOUNT_READ_ONLY: u16 = 2;
const DYNAMIC_REVISION: u32 = 1;
const LOG_BLOCK_SIZE: u32 = 2;
/// Never ask for a check after a number of mounts.
const NO_MOUNT_LIMIT: u16 = u16::MAX;
const HASH_HALF_MD4: u8 = 1;
/// Names hash as unsigned characters on both architectures: left out, each kernel would choose its own.
const UNSIGNED_HASH: u32 = 2;
const CHECKSUM_CRC32C: u8 = 1;
/// The superblock keeps a copy of the journal's extent.
const JOURNAL_BACKUP: u8 = 1;
/// `user_xattr` and `acl`.
const MOUNT_OPTIONS: u32 = 0x4 | 0x8;

const COMPATIBLE: u32 = HAS_JOURNAL | EXTENDED_ATTRIBUTES | DIRECTORY_INDEX;
const HAS_JOURNAL: u32 = 0x4;
const EXTENDED_ATTRIBUTES: u32 = 0x8;
const DIRECTORY_INDEX: u32 = 0x20;

const INCOMPATIBLE: u32 = FILE_TYPE | EXTENTS | BITS_64 | FLEXIBLE_GROUPS;
const FILE_TYPE: u32 = 0x2;
const EXTENTS: u32 = 0x40;
const BITS_64: u32 = 0x80;
const FLEXIBLE_GROUPS: u32 = 0x200;

const READ_ONLY_COMPATIBLE: u32 =
    SPARSE_SUPER | LARGE_FILE | HUGE_FILE | DIRECTORY_LINKS | EXTRA_INODE_BYTES | METADATA_CHECKSUM;
const SPARSE_SUPER: u32 = 0x1;
const LARGE_FILE: u32 = 0x2;
const HUGE_FILE: u32 = 0x8;
const DIRECTORY_LINKS: u32 = 0x20;
const EXTRA_INODE_BYTES: u32 = 0x40;
const METADATA_CHECKSUM: u32 = 0x400;

#[derive(FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Superblock {
    inodes: U32,
    blocks_low: U32,
    reserved_blocks_low: U32,
    free_blocks_low: U32,
    free_inodes: U32,
    first_data_block: U32,
    log_block_size: U32,
    log_cluster_size: U32,
    blocks_per_group: U32,
    clusters_per_group: U32,
    inodes_per_group: U32,
    mounted: U32,
    written: U32,
    mount_count: U16,
    max_mount_count: U16,
    magic: U16,
    state: U16,
    errors: U16,
    minor_revision: U16,
    checked: U32,
    check_interval: U32,
    creator_os: U32,
    revision: U32,
    reserved_uid: U16,
    reserved_gid: U16,
    first_inode: U32,
    inode_bytes: U16,
    group: U16,
    compatible: U32,
    incompatible: U32,
    read_only_compatible: U32,
    uuid: [u8; 16],
    label: [u8; MAX_LABEL_BYTES],
    last_mounted_on: [u8; 64],
    algorithms: U32,
    preallocated: [u8; 2],
    reserved_descriptor_blocks: U16,
    journal_uuid: [u8; 16],
    journal_inode: U32,
    journal_device: U32,
    last_orphan: U32,
    hash_seed: [u8; 16],
    hash_version: u8,
    journal_backup: u8,
    descriptor_bytes: U16,
    mount_options: U32,
    first_meta_group: U32,
    created: U32,
    journal_extent: ExtentRoot,
    journal_size_high: U32,
    journal_size_low: U32,
    blocks_high: U32,
    reserved_blocks_high: U32,
    free_blocks_high: U32,
    min_extra_inode_bytes: U16,
    want_extra_inode_bytes: U16,
    flags: U32,
    raid_stride: U16,
    mmp_interval: U16,
    mmp_block: [u8; 8],
    raid_stripe_width: U32,
    log_groups_per_flex: u8,
    checksum_type: u8,
    unused: [u8; 254],
    written_high: u8,
    mounted_high: u8,
    created_high: u8,
    checked_high: u8,
    unused_end: [u8; 388],
}

/// All of the superblock but its checksum.
const SEALED_BYTES: usize = 1020;
const _: () = assert!(size_of::<Superblock>() == SEALED_BYTES);

/// What the superblocks of one file system have in common.
pub(crate) struct Parameters<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) uuid: [u8; 16],
    pub(crate) label: [u8; MAX_LABEL_BYTES],
    pub(crate) created: Timestamp,
}

impl Parameters<'_> {
    /// Writes the superblock of a group, 0 being the one that makes the file system.
    pub(crate) fn write(&self, file: &File, group: u32) -> io::Result<()> {
        let superblock = self.build(group);
        let mut bytes = superblock.as_bytes().to_vec();
        bytes.extend(Checksum::new().update(&bytes).value().to_le_bytes());
        let within = if group == 0 { PRIMARY_OFFSET } else { 0 };
        sys::write_all_at(
            file,
            &bytes,
            block::offset(self.layout.group_start(group)) + within,
        )
    }

    fn build(&self, group: u32) -> Superblock {
        let layout = self.layout;
        let used: u64 = layout
            .groups()
            .map(|group| u64::from(layout.used_blocks(group)))
            .sum();
        let free = layout.blocks - used;
        let time = U32::from(self.created.low);
        let journal_bytes = layout.journal_blocks * block::BYTES as u32;
        Superblock {
            inodes: layout.inodes().into(),
            blocks_low: (layout.blocks as u32).into(),
            blocks_high: ((layout.blocks >> 32) as u32).into(),
            free_blocks_low: (free as u32).into(),
            free_blocks_high: ((free >> 32) as u32).into(),
            free_inodes: (layout.inodes() - inode::IN_USE).into(),
            log_block_size: LOG_BLOCK_SIZE.into(),
            log_cluster_size: LOG_BLOCK_SIZE.into(),
            blocks_per_group: BLOCKS_PER_GROUP.into(),
            clusters_per_group: BLOCKS_PER_GROUP.into(),
            inodes_per_group: layout.inodes_per_group.into(),
            written: time,
            written_high: self.created.high,
            checked: time,
            checked_high: self.created.high,
            created: time,
            created_high: self.created.high,
            max_mount_count: NO_MOUNT_LIMIT.into(),
            magic: MAGIC.into(),
            state: CLEAN.into(),
            errors: ERRORS_REMOUNT_READ_ONLY.into(),
            revision: DYNAMIC_REVISION.into(),
            first_inode: inode::LOST_AND_FOUND.into(),
            inode_bytes: INODE_BYTES.into(),
            // Only the low 16 bits are kept, as by every other mkfs.
            group: (group as u16).into(),
            compatible: COMPATIBLE.into(),
            incompatible: INCOMPATIBLE.into(),
            read_only_compatible: READ_ONLY_COMPATIBLE.into(),
            uuid: self.uuid,
            label: self.label,
            journal_inode: inode::JOURNAL.into(),
            hash_seed: self.uuid,
            hash_version: HASH_HALF_MD4,
            flags: UNSIGNED_HASH.into(),
            journal_backup: JOURNAL_BACKUP,
            journal_extent: ExtentRoot::new(layout.journal(), layout.journal_blocks),
            journal_size_low: journal_bytes.into(),
            descriptor_bytes: DESCRIPTOR_BYTES.into(),
            mount_options: MOUNT_OPTIONS.into(),
            min_extra_inode_bytes: inode::EXTRA_BYTES.into(),
            want_extra_inode_bytes: inode::EXTRA_BYTES.into(),
            log_groups_per_flex: LOG_GROUPS_PER_FLEX,
            checksum_type: CHECKSUM_CRC32C,
            ..Superblock::new_zeroed()
        }
    }
}
