//! A registry that lies, breaks off or fails: one clear error, a non-zero exit, and nothing left behind.

use crate::world::{Fault, World};

super::scenarios![
    an_altered_layer_is_refused_by_its_digest,
    a_layer_that_is_too_short_is_refused,
    a_broken_off_download_is_taken_up_again,
    a_registry_that_fails_is_named_with_its_status,
    a_manifest_of_100_megabytes_is_refused,
    an_altered_manifest_is_refused_by_its_digest,
    an_image_that_does_not_exist_is_told_as_docker_tells_it,
    an_unknown_platform_is_told_as_docker_tells_it,
    a_registry_that_is_not_there_is_named,
];

/// Pulls `alpine`, which has to fail with this text, and looks for what a failed pull must not leave.
fn refused(fault: Fault, text: &str) {
    let world = World::with_fault(Some(fault));
    world.sampan(["pull", "alpine"]).exits_with(1).warns(text);
    assert_eq!(world.ok(["images", "-q"]), "");
    for folder in ["layers", "tmp"] {
        let left: Vec<_> = std::fs::read_dir(world.home().join("store").join(folder))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{left:?} was left behind");
    }
}

fn an_altered_layer_is_refused_by_its_digest(_: &World) {
    refused(Fault::AlteredLayer, "digest");
}

fn a_layer_that_is_too_short_is_refused(_: &World) {
    refused(Fault::ShortLayer, "the layer ended after");
}

fn a_broken_off_download_is_taken_up_again(_: &World) {
    let world = World::with_fault(Some(Fault::BreaksOff));
    world
        .sampan(["pull", "alpine"])
        .exits_with(0)
        .prints("Status: Downloaded newer image for alpine:latest");
}

fn a_registry_that_fails_is_named_with_its_status(_: &World) {
    refused(Fault::ServerError, "500");
}

fn a_manifest_of_100_megabytes_is_refused(_: &World) {
    refused(Fault::HugeManifest, "manifest");
}

fn an_altered_manifest_is_refused_by_its_digest(_: &World) {
    refused(Fault::AlteredManifest, "digest");
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
}

fn a_registry_that_is_not_there_is_named(world: &World) {
    world
        .sampan(["pull", "localhost:1/alpine"])
        .exits_with(1)
        .warns("localhost:1");
}
