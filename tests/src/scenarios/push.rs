//! `push`: what a registry is given comes back from it.

use crate::world::{Faults, World};

super::scenarios![
    an_image_that_was_made_here_is_pushed_and_pulled_again,
    an_image_whose_layers_the_registry_has_is_pushed_without_them,
    all_tags_are_pushed_together,
    what_cannot_be_pushed_is_told_in_dockers_words,
];

/// A name in the world's registry.
fn name(world: &World, rest: &str) -> String {
    format!("{}/{rest}", world.registry().domain())
}

fn an_image_that_was_made_here_is_pushed_and_pulled_again(world: &World) {
    let image = name(world, "team/app");
    world.ok([
        "run",
        "--name",
        "maker",
        "alpine",
        "sh",
        "-c",
        "echo kept > /note",
    ]);
    world.ok(["commit", "maker", &image]);
    world.ok(["rm", "maker"]);
    let id = world.inspect(&image, "/Id");
    world
        .sampan(["push", &image])
        .exits_with(0)
        .prints("Using default tag: latest\n")
        .prints(&format!("The push refers to repository [{image}]\n"))
        .prints(": Preparing\n")
        .prints(": Layer already exists\n")
        .prints(": Pushed\n")
        .prints("latest: digest: sha256:");

    world.ok(["rmi", &image]);
    world.ok(["rmi", "alpine"]);
    world.assert_no_image();
    world.ok(["pull", "-q", &image]);
    assert_eq!(world.inspect(&image, "/Id"), id);
    world
        .sampan(["run", "--rm", &image, "cat", "/note"])
        .exits_with(0)
        .prints("kept\n");
}

fn an_image_whose_layers_the_registry_has_is_pushed_without_them(world: &World) {
    let image = name(world, "team/hello:1");
    world.ok(["pull", "-q", "hello-world"]);
    world.ok(["tag", "hello-world", &image]);
    let pushed = world.sampan(["image", "push", &image]).exits_with(0);
    let pushed = pushed.prints(": Layer already exists\n");
    assert!(!pushed.stdout.contains(": Pushed\n"), "{pushed}");
    assert!(!pushed.stdout.contains("Using default tag"), "{pushed}");
    assert_eq!(world.ok(["push", "-q", &image]), image);
}

fn all_tags_are_pushed_together(world: &World) {
    let repository = name(world, "team/many");
    world.ok(["pull", "-q", "hello-world"]);
    for tag in ["1", "2"] {
        world.ok(["tag", "hello-world", &format!("{repository}:{tag}")]);
    }
    world
        .sampan(["push", "-a", &format!("{repository}:1")])
        .exits_with(1)
        .warns("tag can't be used with --all-tags/-a");
    world
        .sampan(["push", "--all-tags", &repository])
        .exits_with(0)
        .prints("1: digest: sha256:")
        .prints("2: digest: sha256:");
}

fn what_cannot_be_pushed_is_told_in_dockers_words(world: &World) {
    let image = name(world, "team/app:1");
    world
        .sampan(["push", &image])
        .exits_with(1)
        .warns("An image does not exist locally with the tag: ");
    world.ok(["pull", "-q", "hello-world"]);
    world.ok(["tag", "hello-world", &image]);
    world
        .sampan(["push", &name(world, "team/app:2")])
        .exits_with(1)
        .warns("tag does not exist: ");
    world.registry().set_faults(Faults {
        refuse_uploads: true,
        ..Faults::default()
    });
    world
        .sampan(["push", &image])
        .exits_with(1)
        .warns("denied: requested access to the resource is denied");
}
