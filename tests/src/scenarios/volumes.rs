//! Volumes and what is kept in them.

use crate::world::World;

super::scenarios![
    a_volume_keeps_its_files_from_one_container_to_the_next,
    an_empty_volume_gets_what_the_image_has_there,
    a_read_only_volume_refuses_writes,
    an_anonymous_volume_goes_with_its_container,
    a_volume_in_use_cannot_be_removed,
    the_volumes_of_another_container_can_be_taken_over,
    pruning_asks_first_and_tells_what_it_removed,
];

fn a_volume_keeps_its_files_from_one_container_to_the_next(world: &World) {
    world.ok([
        "run",
        "--rm",
        "-v",
        "kept:/data",
        "alpine",
        "sh",
        "-c",
        "echo hello > /data/file",
    ]);
    assert_eq!(
        world.ok([
            "run",
            "--rm",
            "--mount",
            "src=kept,dst=/x",
            "alpine",
            "cat",
            "/x/file"
        ]),
        "hello"
    );
    let listed = world.ok(["volume", "ls"]);
    assert!(
        listed.starts_with("DRIVER    VOLUME NAME\n") && listed.contains("local     kept"),
        "{listed}"
    );
    assert_eq!(world.ok(["volume", "rm", "kept"]), "kept");
    world
        .sampan(["volume", "inspect", "kept"])
        .exits_with(1)
        .warns("get kept: no such volume");
    // A new volume of the old name is empty.
    assert_eq!(
        world.ok(["run", "--rm", "-v", "kept:/data", "alpine", "ls", "/data"]),
        ""
    );
    world.ok(["volume", "rm", "kept"]);
}

fn an_empty_volume_gets_what_the_image_has_there(world: &World) {
    let image = world.ok(["run", "--rm", "alpine", "ls", "-ln", "/etc/passwd"]);
    let copied = world.ok([
        "run",
        "--rm",
        "-v",
        "copied:/etc",
        "alpine",
        "ls",
        "-ln",
        "/etc/passwd",
    ]);
    assert_eq!(copied, image);
    let bare = world.ok(["run", "--rm", "-v", "bare:/etc:nocopy", "alpine", "ls", "/etc"]);
    assert!(!bare.contains("passwd"), "{bare}");
    world.ok(["volume", "rm", "copied", "bare"]);
}

fn a_read_only_volume_refuses_writes(world: &World) {
    world
        .sampan([
            "run",
            "--rm",
            "-v",
            "sealed:/data:ro",
            "alpine",
            "touch",
            "/data/x",
        ])
        .exits_with(1)
        .warns("Read-only file system");
    world.ok(["volume", "rm", "sealed"]);
}

fn an_anonymous_volume_goes_with_its_container(world: &World) {
    world.ok(["run", "--rm", "-v", "/cache", "alpine", "touch", "/cache/x"]);
    world.ok(["run", "--name", "with-cache", "-v", "/cache", "alpine", "true"]);
    let name = world.inspect("with-cache", "/Mounts/0/Name");
    let name = name.as_str().unwrap();
    world.ok(["volume", "inspect", name]);
    world.ok(["rm", "-v", "with-cache"]);
    world.sampan(["volume", "inspect", name]).exits_with(1);
}

fn a_volume_in_use_cannot_be_removed(world: &World) {
    let id = world.ok(["create", "--name", "holder", "-v", "held:/data", "alpine", "true"]);
    world
        .sampan(["volume", "rm", "held"])
        .exits_with(1)
        .warns(&format!("remove held: volume is in use - [{id}]"));
    world.ok(["rm", "holder"]);
    world.ok(["volume", "rm", "held"]);
}

fn the_volumes_of_another_container_can_be_taken_over(world: &World) {
    world.ok([
        "run",
        "--name",
        "giver",
        "-v",
        "given:/data",
        "alpine",
        "touch",
        "/data/x",
    ]);
    assert_eq!(
        world.ok([
            "run",
            "--rm",
            "--volumes-from",
            "giver:ro",
            "alpine",
            "ls",
            "/data"
        ]),
        "x"
    );
    world.ok(["rm", "giver"]);
    world.ok(["volume", "rm", "given"]);
}

fn pruning_asks_first_and_tells_what_it_removed(world: &World) {
    world.ok(["volume", "create", "--label", "lonely", "lonely"]);
    let mut asked = world.start(["volume", "prune", "--all"]);
    asked.write(b"n\n");
    asked
        .finish()
        .exits_with(0)
        .prints("WARNING! This will remove all local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] ");
    assert!(world.ok(["volume", "ls", "-q"]).contains("lonely"));
    let pruned = world.ok(["volume", "prune", "--all", "--force", "--filter", "label=lonely"]);
    assert!(
        pruned.contains("Deleted Volumes:\n") && pruned.contains("lonely"),
        "{pruned}"
    );
    assert!(pruned.ends_with("Total reclaimed space: 0B"), "{pruned}");
}
