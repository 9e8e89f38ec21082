//! A registry that lies, breaks off, stalls or fails: one clear error, a non-zero exit, and nothing left behind.

use std::net::TcpListener;

use crate::world::{Faults, World};

super::scenarios![
    an_altered_layer_is_refused_by_its_digest,
    a_layer_that_is_too_short_is_refused,
    a_broken_off_download_is_taken_up_again,
    a_registry_that_fails_is_named_with_its_status,
    a_manifest_of_100_megabytes_is_refused,
    an_altered_manifest_is_refused_by_its_digest,
    an_image_that_does_not_exist_is_told_as_docker_tells_it,
    an_unknown_platform_is_told_as_docker_tells_it,
    a_platform_that_is_no_linux_is_refused,
    a_registry_that_stalls_in_a_layer_is_given_up,
    a_registry_that_never_answers_is_given_up,
    a_registry_that_is_not_there_is_named,
];

/// Settings for a world that does not wait long.
const HASTE: &str = "registry-timeout = 1\n";

/// Pulls `alpine`, which has to fail with this text and leave nothing; from a registry in order again it comes.
fn refused(world: &World, faults: Faults, text: &str) {
    world.registry().set_faults(faults);
    world.sampan(["pull", "alpine"]).exits_with(1).warns(text);
    world.assert_no_image();
    world.registry().set_faults(Faults::default());
    world.ok(["pull", "alpine"]);
}

fn an_altered_layer_is_refused_by_its_digest(world: &World) {
    let faults = Faults {
        alter_layers: true,
        ..Faults::default()
    };
    refused(world, faults, "digest");
}

fn a_layer_that_is_too_short_is_refused(world: &World) {
    let faults = Faults {
        shorten_layers: true,
        ..Faults::default()
    };
    refused(world, faults, "the layer ended after");
}

fn a_broken_off_download_is_taken_up_again(world: &World) {
    world.registry().set_faults(Faults {
        cut: (2, 100_000),
        ..Faults::default()
    });
    world
        .sampan(["pull", "alpine"])
        .exits_with(0)
        .prints("Status: Downloaded newer image for alpine:latest");
}

fn a_registry_that_fails_is_named_with_its_status(world: &World) {
    let faults = Faults {
        layer_errors: true,
        ..Faults::default()
    };
    refused(world, faults, "500");
}

fn a_manifest_of_100_megabytes_is_refused(world: &World) {
    let faults = Faults {
        manifest_padding: 100_000_000,
        ..Faults::default()
    };
    refused(world, faults, "manifest");
}

fn an_altered_manifest_is_refused_by_its_digest(world: &World) {
    let faults = Faults {
        alter_manifests: true,
        ..Faults::default()
    };
    refused(world, faults, "digest");
}

fn a_registry_that_stalls_in_a_layer_is_given_up(_: &World) {
    let world = World::with_settings(HASTE);
    let faults = Faults {
        stall: (usize::MAX, 0),
        ..Faults::default()
    };
    refused(&world, faults, "no answer in time; check the network");
}

fn a_registry_that_never_answers_is_given_up(_: &World) {
    let world = World::with_settings(HASTE);
    // Connections wait in its backlog for good.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("{}/alpine", silent.local_addr().unwrap());
    world
        .sampan(["pull", &image])
        .exits_with(1)
        .warns("no answer in time; check the network");
    world.assert_no_image();
}

fn a_platform_that_is_no_linux_is_refused(world: &World) {
    for platform in ["plan9/amd64", "linux/amd64/v1/more"] {
        let refused = world.sampan(["pull", "--platform", platform, "alpine"]);
        assert!(matches!(refused.code, Some(1 | 125)), "{refused}");
        refused.warns(platform);
    }
    world.assert_no_image();
}

fn an_image_that_does_not_exist_is_told_as_docker_tells_it(world: &World) {
    world
        .sampan(["run", "no-such-image"])
        .exits_with(125)
        .warns("Unable to find image 'no-such-image:latest' locally");
    world
        .sampan(["pull", "alpine:no-such-tag"])
        .exits_with(1)
        .warns("manifest unknown");
}

fn an_unknown_platform_is_told_as_docker_tells_it(world: &World) {
    let refused = world
        .sampan(["pull", "--platform", "linux/s390x", "alpine"])
        .exits_with(1);
    refused.warns("no matching manifest for linux/s390x in the manifest list entries");
    world.assert_no_image();
}

fn a_registry_that_is_not_there_is_named(world: &World) {
    world
        .sampan(["pull", "localhost:1/alpine"])
        .exits_with(1)
        .warns("localhost:1");
}
