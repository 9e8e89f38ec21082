//! The first minutes with sampan, as a course on containers goes through them.

use crate::world::World;

super::scenarios![
    the_first_run_tells_the_pull_and_greets_and_the_second_does_not_pull,
    a_missing_program_exits_127_and_leaves_the_container_created,
    alpine_lists_the_root_of_its_image,
    create_prints_the_whole_id_and_start_attached_the_output,
];

fn the_first_run_tells_the_pull_and_greets_and_the_second_does_not_pull(world: &World) {
    let first = world.sampan(["run", "hello-world"]).exits_with(0);
    let first = first
        .warns("Unable to find image 'hello-world:latest' locally\n")
        .warns("latest: Pulling from library/hello-world\n")
        .warns(": Pull complete\n")
        .warns("Digest: sha256:")
        .warns("Status: Downloaded newer image for hello-world:latest\n");
    assert!(
        first.stdout.contains(&world.kind().architecture),
        "the greeting names its architecture: {first}"
    );

    let second = world.sampan(["run", "hello-world"]).exits_with(0);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "", "nothing is pulled again");
}

fn a_missing_program_exits_127_and_leaves_the_container_created(world: &World) {
    world
        .sampan(["run", "--name", "missing", "hello-world", "ls"])
        .exits_with(127)
        .warns("exec: \"ls\": executable file not found in $PATH");
    assert_eq!(world.inspect("missing", "/State/Status"), "created");
    world.sampan(["ps", "-a"]).exits_with(0).prints("Created");
}

fn alpine_lists_the_root_of_its_image(world: &World) {
    let listing = world.sampan(["run", "--rm", "alpine", "ls"]).exits_with(0);
    let names: Vec<&str> = listing.stdout.lines().collect();
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}

fn create_prints_the_whole_id_and_start_attached_the_output(world: &World) {
    world.ok(["pull", "hello-world"]);
    let id = world.ok(["create", "hello-world"]);
    assert!(
        id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{id:?}"
    );
    world
        .sampan(["start", "-a", &id])
        .exits_with(0)
        .prints(&world.kind().architecture);
}
