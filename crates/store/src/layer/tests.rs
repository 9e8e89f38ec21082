//! Layers from archive to image and back. What an image holds is told by `fsck.erofs`, the reference reader.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::convert::convert;
use super::recipe::TarReader;
use crate::config::Limits;
use crate::digest::Digest;
use crate::error::LayerError;

/// An archive in the making.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header
    }

    fn raw(mut self, mut header: Header, name: &[u8], data: &[u8]) -> Self {
        let field = &mut header.as_old_mut().name;
        field.fill(0);
        field[..name.len()].copy_from_slice(name);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(
            Self::header(EntryType::Regular, data.len() as u64),
            name.as_bytes(),
            data,
        )
    }

    fn folder(self, name: &str) -> Self {
        let mut header = Self::header(EntryType::Directory, 0);
        header.set_mode(0o755);
        self.raw(header, name.as_bytes(), b"")
    }

    fn link(self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = Self::header(kind, 0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.raw(header, name.as_bytes(), b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.raw(Self::header(EntryType::XHeader, body.len() as u64), b"pax", &body)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A converted layer in a folder of its own.
struct Layer {
    folder: tempfile::TempDir,
    length: u64,
}

impl Layer {
    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn archive(&self) -> Vec<u8> {
        let open = |name| std::fs::File::open(self.folder.path().join(name)).unwrap();
        let mut reader = TarReader::new(open("recipe"), open("image")).unwrap();
        let mut archive = Vec::new();
        reader.read_to_end(&mut archive).unwrap();
        assert_eq!(reader.length(), archive.len() as u64);
        archive
    }

    /// Checks and unpacks the image with the reference tool.
    fn unpacked(&self) -> PathBuf {
        let out = self.folder.path().join("out");
        run(Command::new("fsck.erofs")
            .arg(format!("--extract={}", out.display()))
            .arg("--overwrite")
            .arg(self.image()));
        out
    }

    /// The inode number of a file.
    fn nid(&self, path: &str) -> usize {
        let text = self.dump(path);
        let mut words = text.split_whitespace().skip_while(|word| *word != "NID:");
        words.nth(1).unwrap().parse().unwrap()
    }

    /// What the reference tool tells of one file.
    fn dump(&self, path: &str) -> String {
        run(Command::new("dump.erofs")
            .arg(format!("--path={path}"))
            .arg(self.image()))
    }
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: install erofs-utils"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn convert_with(archive: &[u8], limits: &Limits) -> Result<Layer, LayerError> {
    let folder = tempfile::tempdir().unwrap();
    let create = |name| {
        let path = folder.path().join(name);
        std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .unwrap()
    };
    let (image, recipe) = (create("image"), create("recipe"));
    let converted = convert(archive, image, recipe, folder.path(), limits)?;
    assert_eq!(converted.diff_id, Digest::of(archive));
    assert_eq!(converted.length % 4096, 0);
    Ok(Layer {
        length: converted.length,
        folder,
    })
}

fn layer(archive: &[u8]) -> Layer {
    let layer = convert_with(archive, &Limits::default()).unwrap();
    assert!(layer.archive() == archive, "the archive made again differs");
    layer
}

fn refusal(archive: &[u8]) -> String {
    match convert_with(archive, &Limits::default()) {
        Ok(_) => panic!("the archive was taken"),
        Err(error) => error.to_string(),
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn files_of_every_length_around_a_block_keep_their_bytes() {
    let sizes = [
        0, 1, 31, 4031, 4032, 4033, 4095, 4096, 4097, 8192, 12_287, 300_000,
    ];
    let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index * 7 % 251) as u8).collect();
    let mut archive = Archive::default();
    for size in sizes {
        archive = archive.file(&format!("f{size}"), &bytes[..size]);
    }
    let layer = layer(&archive.end());
    let out = layer.unpacked();
    for size in sizes {
        assert_eq!(read(&out.join(format!("f{size}"))), &bytes[..size]);
    }
}

#[test]
fn owners_permissions_and_times_survive_whole() {
    let mut header = Archive::header(EntryType::Regular, 0);
    header.set_mode(0o6751);
    header.set_uid(3_000_000_000);
    header.set_gid(4_294_967_294);
    let archive = Archive::default()
        .pax(&[("mtime", b"-7.250000001")])
        .raw(header, b"f", b"")
        .pax(&[
            ("uid", b"70000"),
            ("gid", b"70001"),
            ("mtime", b"1700000000.123456789"),
        ])
        .file("g", b"x")
        .end();
    let layer = layer(&archive);
    let out = layer.unpacked();
    let f = out.join("f").metadata().unwrap();
    assert_eq!((f.uid(), f.gid()), (3_000_000_000, 4_294_967_294));
    // The tool leaves set-ID bits out of what it tells and unpacks; the field is two bytes at offset 4.
    let nid = layer.nid("/f");
    let mode = &read(&layer.image())[nid * 32 + 4..][..2];
    assert_eq!(u16::from_le_bytes(mode.try_into().unwrap()), 0o100_000 | 0o6751);
    assert_eq!((f.mtime(), f.mtime_nsec()), (-8, 749_999_999));
    let g = out.join("g").metadata().unwrap();
    assert_eq!(
        (g.uid(), g.gid(), g.mtime(), g.mtime_nsec()),
        (70_000, 70_001, 1_700_000_000, 123_456_789)
    );
}

#[test]
fn links_devices_and_fifos_become_what_they_are() {
    let mut device = Archive::header(EntryType::Char, 0);
    device.set_device_major(259).unwrap();
    device.set_device_minor(70_000).unwrap();
    let archive = Archive::default()
        .file("a", b"same")
        .link(EntryType::Link, "b", "a")
        .link(EntryType::Link, "d/c", "./a")
        .link(EntryType::Symlink, "s", "../outside/of/everything")
        .raw(device, b"dev", b"")
        .link(EntryType::Fifo, "fifo", "")
        .end();
    let layer = layer(&archive);
    assert!(layer.dump("/a").contains("Links: 3"), "{}", layer.dump("/a"));
    let out = layer.unpacked();
    assert_eq!(layer.nid("/a"), layer.nid("/b"));
    assert_eq!(layer.nid("/a"), layer.nid("/d/c"));
    assert_eq!(read(&out.join("d/c")), b"same");
    assert_eq!(
        out.join("s").read_link().unwrap(),
        Path::new("../outside/of/everything")
    );
    let device = out.join("dev").metadata().unwrap();
    assert!(device.file_type().is_char_device());
    assert_eq!(
        (rustix_major(device.rdev()), rustix_minor(device.rdev())),
        (259, 70_000)
    );
    assert!(out.join("fifo").symlink_metadata().unwrap().file_type().is_fifo());
}

fn rustix_major(device: u64) -> u64 {
    (device >> 8) & 0xfff | (device >> 32) & !0xfff
}

fn rustix_minor(device: u64) -> u64 {
    device & 0xff | (device >> 12) & !0xff
}

#[test]
fn a_hard_link_keeps_its_file_when_the_name_it_was_made_from_is_replaced() {
    let archive = Archive::default()
        .file("a", b"old")
        .link(EntryType::Link, "b", "a")
        .file("a", b"new")
        .end();
    let layer = layer(&archive);
    let out = layer.unpacked();
    assert_eq!(
        (read(&out.join("a")), read(&out.join("b"))),
        (b"new".to_vec(), b"old".to_vec())
    );
    assert!(layer.dump("/b").contains("Links: 1"));
}

#[test]
fn the_last_entry_of_a_name_wins_and_a_folder_twice_is_merged() {
    let archive = Archive::default()
        .folder("d/")
        .file("d/x", b"1")
        .folder("d")
        .file("d/y", b"2")
        .folder("e")
        .file("e/gone", b"3")
        .file("e", b"file now")
        .file("f", b"file first")
        .folder("f")
        .end();
    let layer = layer(&archive);
    let out = layer.unpacked();
    assert_eq!(
        (read(&out.join("d/x")), read(&out.join("d/y"))),
        (b"1".to_vec(), b"2".to_vec())
    );
    assert_eq!(read(&out.join("e")), b"file now");
    assert!(out.join("f").is_dir());
}

#[test]
fn whiteouts_become_devices_and_opaque_folders_for_overlayfs() {
    let archive = Archive::default()
        .folder("d")
        .file("d/.wh.gone", b"")
        .folder("o")
        .file("o/.wh..wh..opq", b"")
        .file("o/kept", b"k")
        .file(".wh.again", b"")
        .folder("again")
        .folder("later")
        .file(".wh.later", b"")
        .file("here", b"h")
        .file(".wh.here", b"")
        .file(".wh..wh.aufs", b"")
        .end();
    let layer = layer(&archive);
    let out = layer.unpacked();
    let gone = out.join("d/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for folder in ["o", "again", "later"] {
        assert!(
            layer.dump(&format!("/{folder}")).contains("Xattr size"),
            "{}",
            layer.dump("/o")
        );
    }
    assert_eq!(xattr(&layer, "/o", "trusted.overlay.opaque"), b"y");
    assert_eq!(xattr(&layer, "/again", "trusted.overlay.opaque"), b"y");
    assert_eq!(xattr(&layer, "/later", "trusted.overlay.opaque"), b"y");
    assert_eq!(read(&out.join("here")), b"h");
    assert!(!out.join(".wh..wh.aufs").exists());
}

/// The bytes of a file, as another implementation reads them.
fn content(layer: &Layer, path: &str) -> Vec<u8> {
    let bytes = read(&layer.image());
    let image = erofs_rs::EroFS::new(erofs_rs::backend::SliceImage::new(&bytes)).unwrap();
    let mut content = Vec::new();
    image.open(path).unwrap().read_to_end(&mut content).unwrap();
    content
}

/// An extended attribute, as another implementation reads it.
fn xattr(layer: &Layer, path: &str, name: &str) -> Vec<u8> {
    let bytes = read(&layer.image());
    let image = erofs_rs::EroFS::new(erofs_rs::backend::SliceImage::new(&bytes)).unwrap();
    let xattrs = image.xattrs(path).unwrap();
    xattrs
        .get(name.as_bytes())
        .unwrap_or_else(|| panic!("{path} has no {name}: {xattrs:?}"))
        .clone()
}

#[test]
fn extended_attributes_survive_with_any_bytes() {
    let value: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let archive = Archive::default()
        .pax(&[
            ("SCHILY.xattr.user.a", b"\0\n="),
            ("SCHILY.xattr.trusted.b", &value),
        ])
        .file("f", &[7; 5000])
        .end();
    let layer = layer(&archive);
    assert_eq!(xattr(&layer, "/f", "user.a"), b"\0\n=");
    assert_eq!(xattr(&layer, "/f", "trusted.b"), value);
    assert_eq!(read(&layer.unpacked().join("f")), [7; 5000]);
}

#[test]
fn long_and_strange_names_survive() {
    let long = format!("{}/{}", "n".repeat(255), "m".repeat(255));
    let archive = Archive::default()
        .raw(
            Archive::header(EntryType::GNULongName, long.len() as u64 + 1),
            b"././@LongLink",
            format!("{long}\0").as_bytes(),
        )
        .file("short", b"long")
        .raw(Archive::header(EntryType::Regular, 1), b"not \xff utf-8\n", b"x")
        .file("-", b"dash")
        .end();
    let layer = layer(&archive);
    let out = layer.unpacked();
    assert_eq!(read(&out.join(&long)), b"long");
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"not \xff utf-8\n");
    assert_eq!(read(&out.join(name)), b"x");
    assert_eq!(read(&out.join("-")), b"dash");
}

#[test]
fn a_folder_of_thousands_of_names_is_found_whole() {
    let mut archive = Archive::default();
    for index in 0..5000 {
        archive = archive.file(&format!("big/{index:040}"), index.to_string().as_bytes());
    }
    let layer = layer(&archive.end());
    let out = layer.unpacked();
    for index in [0, 1, 2500, 4999] {
        assert_eq!(
            read(&out.join(format!("big/{index:040}"))),
            index.to_string().as_bytes()
        );
    }
    assert_eq!(out.join("big").read_dir().unwrap().count(), 5000);
}

#[test]
fn names_above_the_root_are_refused_and_absolute_ones_stay_inside() {
    assert!(refusal(&Archive::default().file("../x", b"").end()).contains("leads out of the layer"));
    assert!(refusal(&Archive::default().file("a/../../x", b"").end()).contains("leads out of the layer"));
    assert!(
        refusal(
            &Archive::default()
                .link(EntryType::Link, "x", "../../etc/passwd")
                .end()
        )
        .contains("leads out")
    );
    let layer = layer(
        &Archive::default()
            .file("/etc/x", b"in")
            .file("./a/../y", b"y")
            .end(),
    );
    let out = layer.unpacked();
    assert_eq!(
        (read(&out.join("etc/x")), read(&out.join("y"))),
        (b"in".to_vec(), b"y".to_vec())
    );
}

#[test]
fn a_symbolic_link_on_the_way_is_followed_within_the_layer() {
    let archive = Archive::default()
        .link(EntryType::Symlink, "abs", "/target")
        .link(EntryType::Symlink, "up", "../../../../target")
        .file("abs/a", b"1")
        .file("up/b", b"2")
        .link(EntryType::Symlink, "loop", "loop")
        .end();
    let layer = layer(&archive);
    let out = layer.unpacked();
    assert_eq!(
        (read(&out.join("target/a")), read(&out.join("target/b"))),
        (b"1".to_vec(), b"2".to_vec())
    );
    let archive = Archive::default()
        .link(EntryType::Symlink, "loop", "loop")
        .file("loop/x", b"")
        .end();
    assert!(refusal(&archive).contains("too many symbolic links"));
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let cases = [
        (
            Archive::default().file("a", b"").file("a/b", b"").end(),
            "not a folder",
        ),
        (
            Archive::default().link(EntryType::Link, "a", "missing").end(),
            "does not have",
        ),
        (
            Archive::default()
                .folder("d")
                .link(EntryType::Link, "a", "d")
                .end(),
            "hard link to a folder",
        ),
        (Archive::default().file(".wh.", b"").end(), "whiteout of no name"),
        (
            Archive::default().file(".wh...", b"").end(),
            "whiteout of no name",
        ),
        (Archive::default().file("/", b"").end(), "root of the layer"),
        (
            Archive::default().link(EntryType::Symlink, "s", "").end(),
            "empty or too long",
        ),
        (
            Archive::default()
                .pax(&[("path", "n".repeat(256).as_bytes())])
                .file("x", b"")
                .end(),
            "longer than 255",
        ),
        (
            Archive::default()
                .pax(&[("path", "a/".repeat(2500).as_bytes())])
                .file("x", b"")
                .end(),
            "longer than 4095",
        ),
    ];
    for (archive, text) in cases {
        let refusal = refusal(&archive);
        assert!(refusal.contains(text), "{refusal:?} lacks {text:?}");
    }
}

#[test]
fn an_archive_cut_anywhere_is_truncated_or_ends_cleanly_but_is_never_something_else() {
    let whole = Archive::default()
        .pax(&[("uid", b"5")])
        .file("a", &[1; 700])
        .file("b", &[2; 10])
        .end();
    for length in 0..whole.len() {
        match convert_with(&whole[..length], &Limits::default()) {
            Ok(_) => assert_eq!(length % 512, 0, "{length}"),
            Err(LayerError::Truncated) => {}
            Err(error) => panic!("{length}: {error}"),
        }
    }
}

#[test]
fn bytes_behind_the_end_mark_are_kept_for_the_digest() {
    let mut archive = Archive::default().file("a", b"1").end();
    archive.extend_from_slice(&[0; 9000]);
    archive.extend_from_slice(b"junk of an odd length");
    layer(&archive);
}

#[test]
fn limits_on_entries_names_and_size_hold() {
    let limits = Limits {
        entries: 3,
        ..Limits::default()
    };
    let archive = (0..4)
        .fold(Archive::default(), |archive, index| {
            archive.file(&format!("f{index}"), b"")
        })
        .end();
    assert!(matches!(
        convert_with(&archive, &limits),
        Err(LayerError::Limit(_))
    ));
    let limits = Limits {
        metadata: 100,
        ..Limits::default()
    };
    let archive = Archive::default()
        .file(&"n".repeat(90), b"")
        .file(&"m".repeat(90), b"")
        .end();
    assert!(matches!(
        convert_with(&archive, &limits),
        Err(LayerError::Limit(_))
    ));
    let limits = Limits {
        layer: 64 << 10,
        ..Limits::default()
    };
    let archive = Archive::default().file("f", &[1; 100_000]).end();
    assert!(matches!(
        convert_with(&archive, &limits),
        Err(LayerError::Limit(_))
    ));
    let limits = Limits {
        free_disk: u64::MAX / 2,
        ..Limits::default()
    };
    assert!(
        matches!(convert_with(&archive, &limits), Err(LayerError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull)
    );
}

/// The archives that a real tar makes of a file with holes, in all the forms it knows.
#[test]
fn files_with_holes_survive_in_every_form_of_gnu_tar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holes");
    let file = std::fs::File::create(&path).unwrap();
    let mut expected = vec![0; 5 << 20];
    for (offset, length) in [(8192, 100), (1 << 20, 5000), ((5 << 20) - 10, 10)] {
        expected[offset..offset + length].fill(b'd');
        std::os::unix::fs::FileExt::write_all_at(&file, &expected[offset..offset + length], offset as u64)
            .unwrap();
    }
    let many = folder.path().join("many");
    let file = std::fs::File::create(&many).unwrap();
    for index in 0..40 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", index * 65_536).unwrap();
    }
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .args(format)
            .args(["-S", "-C"])
            .arg(folder.path())
            .args(["-c", "holes", "many"])
            .output();
        let archive = output.unwrap().stdout;
        assert!(archive.len() < 1 << 20);
        let layer = layer(&archive);
        assert!(
            layer.length < 1 << 20,
            "{format:?}: holes take {} bytes",
            layer.length
        );
        run(Command::new("fsck.erofs").arg(layer.image()));
        // Another reader: fsck.erofs 1.5 does not unpack holes.
        assert!(content(&layer, "/holes") == expected, "{format:?}");
        assert!(content(&layer, "/many") == read(&many), "{format:?}");
    }
}

#[test]
fn a_sparse_file_of_exabytes_takes_little() {
    let map = b"1\n4096\n3\n".to_vec();
    let mut data = map;
    data.resize(512, 0);
    data.extend_from_slice(b"abc");
    let archive = Archive::default()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"big"),
            ("GNU.sparse.realsize", b"4611686018427387904"),
        ])
        .file("x", &data)
        .end();
    // A chunk of such a file is larger than a layer may be.
    assert!(matches!(
        convert_with(&archive, &Limits::default()),
        Err(LayerError::Limit(_))
    ));
}

#[derive(Clone, Debug)]
enum Step {
    File(String, Vec<u8>),
    Folder(String),
    Symlink(String, String),
    Link(String, String),
    Whiteout(String),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || "(/|\\./)?[abc]{1,2}(/[abc]{1,2}){0,2}(/\\.\\.)?";
    prop_oneof![
        3 => (path(), proptest::collection::vec(any::<u8>(), 0..9000)).prop_map(|(path, data)| Step::File(path, data)),
        1 => path().prop_map(Step::Folder),
        1 => (path(), "(/|\\.\\./)?[abc]{1,2}").prop_map(|(path, target)| Step::Symlink(path, target)),
        1 => (path(), path()).prop_map(|(path, target)| Step::Link(path, target)),
        1 => "([ab]/)?\\.wh\\.[abc]".prop_map(Step::Whiteout),
    ]
}

fn archive_of(steps: &[Step]) -> Vec<u8> {
    let archive = steps.iter().fold(Archive::default(), |archive, step| match step {
        Step::File(path, data) => archive.file(path, data),
        Step::Folder(path) => archive.folder(path),
        Step::Symlink(path, target) => archive.link(EntryType::Symlink, path, target),
        Step::Link(path, target) => archive.link(EntryType::Link, path, target),
        Step::Whiteout(path) => archive.file(path, b""),
    });
    archive.end()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_archive_that_is_taken_is_a_sound_image_and_is_made_again_byte_for_byte(
        steps in proptest::collection::vec(step(), 0..25),
        trailing in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let archive = [archive_of(&steps), trailing].concat();
        if let Ok(layer) = convert_with(&archive, &Limits::default()) {
            prop_assert!(layer.archive() == archive);
            run(Command::new("fsck.erofs").arg(layer.image()));
        }
    }

    #[test]
    fn a_plain_tree_is_unpacked_as_it_was_packed(
        files in proptest::collection::btree_map("[abcxyz]{1,3}", proptest::collection::vec(any::<u8>(), 0..20_000), 0..12),
    ) {
        let files: BTreeMap<String, Vec<u8>> = files;
        let archive = files.iter().fold(Archive::default(), |archive, (name, data)| archive.file(&format!("d/{name}"), data));
        let layer = layer(&archive.end());
    let out = layer.unpacked();
        for (name, data) in &files {
            prop_assert!(read(&out.join("d").join(name)) == *data);
        }
    }

    #[test]
    fn a_damaged_archive_ends_in_an_image_or_an_error(
        steps in proptest::collection::vec(step(), 1..6),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut archive = archive_of(&steps);
        for (index, byte) in changes {
            let index = index.index(archive.len());
            archive[index] = byte;
            let header = index / 512 * 512;
            if let Some(block) = archive.get_mut(header..header + 512) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        if let Ok(layer) = convert_with(&archive, &Limits::default()) {
            prop_assert!(layer.archive() == archive);
            run(Command::new("fsck.erofs").arg(layer.image()));
        }
    }
}
