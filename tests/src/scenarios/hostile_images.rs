//! Images that are made to do harm: refused with one clear error, or harmless, and nothing is left behind.

use std::fs;

use crate::world::{Image, World};

super::scenarios![
    a_layer_with_a_name_that_leads_out_of_it_is_refused,
    a_layer_that_goes_through_its_own_links_writes_nothing_on_the_host,
    a_hard_link_to_a_file_outside_is_refused,
    a_decompression_bomb_is_refused,
    an_archive_that_is_broken_is_not_loaded,
];

/// A block of a tar archive.
const BLOCK: usize = 512;

/// The header of an entry (POSIX.1-2017, ustar), of any name, as no well-meaning program writes it.
fn header(name: &str, kind: u8, link: &str, size: u64) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    // Eleven octal digits.
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(157, link);
    put(257, "ustar\x0000");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    header[154] = 0;
    header
}

fn file(name: &str) -> Vec<u8> {
    let mut entry = header(name, b'0', "", 4);
    entry.extend_from_slice(b"harm");
    entry.resize(2 * BLOCK, 0);
    entry
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = entries.concat();
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Serves an image with these entries in its one layer.
fn serve(world: &World, entries: &[Vec<u8>]) {
    let image = Image::new(&world.kind().architecture, &[archive(entries)]);
    world.registry().put("hostile", image);
}

fn refused(world: &World, text: &str) {
    world.sampan(["pull", "hostile"]).exits_with(1).warns(text);
    world.assert_no_image();
}

fn a_layer_with_a_name_that_leads_out_of_it_is_refused(world: &World) {
    for name in ["../escaped", "a/../../escaped"] {
        serve(world, &[file(name)]);
        refused(world, "leads out of the layer");
    }
}

fn a_layer_that_goes_through_its_own_links_writes_nothing_on_the_host(world: &World) {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let up = format!("../../../../../..{target}");
    serve(
        world,
        &[
            header("absolute", b'2', target, 0),
            file("absolute/through-absolute"),
            header("relative", b'2', &up, 0),
            file("relative/through-relative"),
            file(&format!("{target}/by-name")),
        ],
    );
    world.ok(["pull", "hostile"]);
    let written: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
    assert!(written.is_empty(), "{written:?}");
}

fn a_hard_link_to_a_file_outside_is_refused(world: &World) {
    serve(world, &[header("passwd", b'1', "/etc/passwd", 0)]);
    refused(world, "is a hard link to a file that the layer does not have");
}

fn a_decompression_bomb_is_refused(world: &World) {
    // A gzip stream may have many members (RFC 1952), so that a mebibyte makes a bomb of a gibibyte and more.
    const MEMBER: usize = 64 << 20;
    const MEMBERS: usize = 20;
    let head = header("bomb", b'0', "", (MEMBER * MEMBERS) as u64);
    let zeros = test_registry::gzip(&vec![0; MEMBER]);
    let layer = [test_registry::gzip(&head), zeros.repeat(MEMBERS)].concat();
    let mut image = Image::new(&world.kind().architecture, &[Vec::new()]);
    image.layers = vec![layer.into()];
    world.registry().put("hostile", image);
    refused(world, "times its compressed size");
}

fn an_archive_that_is_broken_is_not_loaded(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tar");
    let hostile = archive(&[
        file("../manifest.json"),
        header("manifest.json", b'2', "/etc/passwd", 0),
    ]);
    for (bytes, text) in [
        (b"no archive at all".to_vec(), "the archive cannot be loaded"),
        (archive(&[file("something")]), "the archive cannot be loaded"),
        (hostile, "the archive cannot be loaded"),
    ] {
        fs::write(&path, bytes).unwrap();
        world
            .sampan(["load", "-i", path.to_str().unwrap()])
            .exits_with(1)
            .warns(text);
    }
    world.assert_no_image();
}
