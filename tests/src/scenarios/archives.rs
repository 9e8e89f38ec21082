//! `save` and `load`.

use std::fs;

use crate::world::World;

super::scenarios![
    a_saved_image_is_loaded_again_and_runs,
    an_archive_is_saved_to_a_pipe_and_loaded_from_one,
    a_terminal_is_spared_an_archive,
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
