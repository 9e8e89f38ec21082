//! `save` and `load`.

use std::fs;

use crate::world::World;

super::scenarios![
    a_saved_image_is_loaded_again_and_runs,
    an_archive_is_saved_to_a_pipe_and_loaded_from_one,
    a_terminal_is_spared_an_archive,
    a_name_of_two_platforms_is_saved_loaded_and_removed_by_one_of_them,
];

fn a_saved_image_is_loaded_again_and_runs(world: &World) {
    world.ok(["pull", "-q", "alpine"]);
    let id = world.inspect("alpine", "/Id");
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("alpine.tar");
    let archive = archive.to_str().unwrap();
    world.ok(["save", "-o", archive, "alpine"]);
    world.ok(["rmi", "alpine"]);
    world.assert_no_image();

    world
        .sampan(["load", "-i", archive])
        .exits_with(0)
        .prints("Loaded image: alpine:latest");
    assert_eq!(world.inspect("alpine", "/Id"), id);
    world
        .sampan(["run", "--rm", "alpine", "echo", "loaded"])
        .exits_with(0)
        .prints("loaded");
}

fn an_archive_is_saved_to_a_pipe_and_loaded_from_one(world: &World) {
    world.ok(["pull", "-q", "hello-world"]);
    let (saved, archive) = world.start(["save", "hello-world"]).finish_raw();
    assert_eq!(saved.code, Some(0), "{saved}");
    world.ok(["rmi", "hello-world"]);
    let mut load = world.start(["load"]);
    load.write(&archive);
    load.finish()
        .exits_with(0)
        .prints("Loaded image: hello-world:latest");
    world.ok(["run", "--rm", "hello-world"]);
}

fn a_terminal_is_spared_an_archive(world: &World) {
    world.ok(["pull", "-q", "hello-world"]);
    let save = world.terminal(["save", "hello-world"]);
    let (code, screen) = save.finish();
    assert_eq!(code, Some(1), "{screen}");
    assert!(
        screen.contains("cowardly refusing to save to a terminal"),
        "{screen}"
    );
    assert!(fs::read_dir(world.home().join("store/tmp")).map_or(true, |mut left| left.next().is_none()));
}

fn a_name_of_two_platforms_is_saved_loaded_and_removed_by_one_of_them(world: &World) {
    let both = ["linux/amd64", "linux/arm64"];
    for platform in both {
        world.ok(["pull", "-q", "--platform", platform, "hello-world"]);
    }
    let ids = || world.ok(["images", "-q", "hello-world"]).lines().count();
    assert_eq!(ids(), 2);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("both.tar");
    let archive = archive.to_str().unwrap();
    world.ok([
        "save",
        "--platform",
        &both.join(","),
        "-o",
        archive,
        "hello-world",
    ]);
    let removed = world.ok(["rmi", "--platform", "linux/arm64", "hello-world"]);
    assert!(
        removed.contains("Deleted: sha256:") && !removed.contains("Untagged: hello-world"),
        "{removed}"
    );
    assert_eq!(ids(), 1);
    world
        .sampan(["rmi", "--platform", "linux/arm64", "hello-world"])
        .exits_with(1)
        .warns("linux/arm64");
    // One of the platforms asked for is gone; the other still is there to go.
    let removed = world.ok(["rmi", "--platform", "linux/arm64,linux/amd64", "hello-world"]);
    assert!(removed.contains("Untagged: hello-world:latest"), "{removed}");
    world
        .sampan(["load", "--platform", "linux/s390x", "-i", archive])
        .exits_with(1)
        .warns("it has no image for linux/s390x");
    world.ok(["load", "--platform", "linux/arm64", "-i", archive]);
    assert_eq!(ids(), 1);
    let loaded = world.ok(["image", "inspect", "--format", "{{.Architecture}}", "hello-world"]);
    assert_eq!(loaded, "arm64");
}
