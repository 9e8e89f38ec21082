//! What e2fsprogs, the reference implementation, says about the file systems made here. Needs `e2fsck` and
//! `dumpe2fs`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers are part of tests"
)]

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use ext4::{FormatError, MIN_BYTES, Options};
use proptest::prelude::*;
use tempfile::{NamedTempFile, TempDir};

const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef";

fn options(bytes: u64) -> Options {
    Options {
        bytes,
        uuid: UUID,
        label: "data".to_owned(),
        created: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    }
}

fn formatted(options: &Options) -> NamedTempFile {
    let disk = NamedTempFile::new().unwrap();
    ext4::format(disk.as_file(), options).unwrap();
    disk
}

/// Runs a program of e2fsprogs, which Debian keeps where an ordinary PATH does not look.
fn e2fsprogs(program: &str, arguments: &[&str], disk: &NamedTempFile) -> (bool, String) {
    let places = ["/usr/sbin", "/sbin", "/usr/bin"].map(|place| PathBuf::from(place).join(program));
    let program = places
        .into_iter()
        .find(|path| path.exists())
        .expect("e2fsprogs is installed");
    let output = Command::new(program)
        .args(arguments)
        .arg(disk.path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn assert_sound(disk: &NamedTempFile) {
    let (sound, text) = e2fsprogs("e2fsck", &["-f", "-n"], disk);
    assert!(sound, "{text}");
}

/// The value of a line of `dumpe2fs -h`.
fn header(disk: &NamedTempFile, name: &str) -> String {
    let (_, text) = e2fsprogs("dumpe2fs", &["-h"], disk);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .to_owned()
}

#[test]
fn e2fsck_accepts_every_size_from_64_mebibytes_to_a_tebibyte() {
    for shift in 26..=40 {
        assert_sound(&formatted(&options(1 << shift)));
    }
}

#[test]
fn e2fsck_accepts_the_smallest_disk() {
    assert_sound(&formatted(&options(MIN_BYTES)));
}

#[test]
fn e2fsck_accepts_sizes_around_the_edges_of_a_block_group() {
    let group = 128 << 20;
    for blocks_more in [
        1, 2, 49, 50, 51, 514, 515, 562, 563, 564, 565, 566, 567, 600, 8000, 8300,
    ] {
        assert_sound(&formatted(&options(16 * group + blocks_more * 4096)));
        assert_sound(&formatted(&options(9 * group + blocks_more * 4096 + 17)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn e2fsck_accepts_any_size(bytes in MIN_BYTES..=256 << 30) {
        assert_sound(&formatted(&options(bytes)));
    }
}

#[test]
fn the_file_is_as_long_as_asked_for_and_what_it_held_is_gone() {
    let disk = NamedTempFile::new().unwrap();
    disk.as_file()
        .write_all_at(&[0xff; 65536], (80 << 20) - 65536)
        .unwrap();
    ext4::format(disk.as_file(), &options((64 << 20) + 1)).unwrap();
    assert_eq!(disk.as_file().metadata().unwrap().len(), (64 << 20) + 1);
    assert_sound(&disk);
}

#[test]
fn a_disk_of_64_gibibytes_takes_less_than_a_mebibyte_of_the_host() {
    let disk = formatted(&options(64 << 30));
    let used = disk.as_file().metadata().unwrap().blocks() * 512;
    assert!(used < 1 << 20, "{used} bytes");
}

#[test]
fn the_same_options_make_the_same_disk() {
    let disks = [(); 2].map(|()| std::fs::read(formatted(&options(MIN_BYTES)).path()).unwrap());
    assert!(disks[0] == disks[1]);
}

#[test]
fn the_features_are_those_of_a_modern_file_system() {
    let disk = formatted(&options(1 << 30));
    let features = header(&disk, "Filesystem features");
    assert_eq!(
        features,
        "has_journal ext_attr dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file \
         dir_nlink extra_isize metadata_csum"
    );
    assert_eq!(header(&disk, "Filesystem state"), "clean");
    assert_eq!(
        header(&disk, "Filesystem UUID"),
        "01234567-89ab-4def-8123-456789abcdef"
    );
    assert_eq!(header(&disk, "Inode size"), "256");
    assert_eq!(header(&disk, "Journal inode"), "8");
    assert_eq!(header(&disk, "Reserved block count"), "0");
    assert!(header(&disk, "Filesystem created").contains("2026"));
}

#[test]
fn a_label_of_sixteen_bytes_is_kept() {
    for label in ["", "sampan", "sixteen bytes ok"] {
        let disk = formatted(&Options {
            label: label.to_owned(),
            ..options(MIN_BYTES)
        });
        assert_sound(&disk);
        let shown = if label.is_empty() { "<none>" } else { label };
        assert_eq!(header(&disk, "Filesystem volume name"), shown);
    }
}

#[test]
fn a_label_that_does_not_fit_is_refused_and_the_file_left_alone() {
    for label in ["seventeen bytes !", "seventeen bytes…", "nul\0"] {
        let disk = NamedTempFile::new().unwrap();
        let options = Options {
            label: label.to_owned(),
            ..options(MIN_BYTES)
        };
        assert!(matches!(
            ext4::format(disk.as_file(), &options),
            Err(FormatError::Label(_))
        ));
        assert_eq!(disk.as_file().metadata().unwrap().len(), 0);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("disk");
    std::fs::write(&path, "").unwrap();
    let read_only = File::open(&path).unwrap();
    assert!(matches!(
        ext4::format(&read_only, &options(MIN_BYTES)),
        Err(FormatError::Io(_))
    ));
}

#[test]
fn e2fsck_can_repair_a_lost_superblock_from_a_copy() {
    let disk = formatted(&options(1 << 30));
    disk.as_file().write_all_at(&[0; 4096], 0).unwrap();
    let (sound, text) = e2fsprogs("e2fsck", &["-f", "-n", "-b", "32768", "-B", "4096"], &disk);
    // Only the primary superblock's own place differs from the copy.
    assert!(
        text.contains("Pass 5") && !text.contains("checksum does not match"),
        "{sound} {text}"
    );
}
