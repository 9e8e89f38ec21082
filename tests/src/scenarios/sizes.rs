//! How much containers and volumes hold, and what pruning gives back.

use serde_json::Value;

use crate::world::World;

super::scenarios![
    what_a_container_wrote_is_told_and_given_back,
    what_a_volume_holds_is_told_and_given_back,
    sizes_are_known_while_the_machine_is_off,
    pruning_everything_tells_the_sum,
];

/// Five million bytes in a file of two names.
const FIVE_MEGABYTES: &str = "head -c 5000000 /dev/zero > /root/big && ln /root/big /root/again";

fn machine_runs(world: &World) -> bool {
    let inspection: Value = serde_json::from_str(&world.ok(["machine", "inspect"])).unwrap();
    !inspection["Pid"].is_null()
}

fn what_a_container_wrote_is_told_and_given_back(world: &World) {
    world.ok(["run", "--name", "idle", "alpine", "true"]);
    world.ok(["run", "--name", "writer", "alpine", "sh", "-c", FIVE_MEGABYTES]);
    let image = world.inspect("alpine", "/Size").as_i64().unwrap();
    let listed = world.ok(["ps", "-a", "-s", "--format", "{{.Names}} {{.Size}}"]);
    assert!(listed.contains("writer 5MB (virtual "), "{listed}");
    assert!(listed.contains("idle 0B (virtual "), "{listed}");
    let sizes = "{{.SizeRw}} {{.SizeRootFs}}";
    assert_eq!(
        world.ok(["inspect", "-s", "-f", sizes, "writer"]),
        format!("5000000 {}", 5_000_000 + image)
    );
    // Without being asked, nobody counts.
    assert_eq!(
        world.ok(["inspect", "-f", sizes, "writer"]),
        "<no value> <no value>"
    );
    world
        .sampan([
            "system",
            "df",
            "--format",
            "{{.Type}}: {{.Size}}, {{.Reclaimable}}",
        ])
        .exits_with(0)
        .prints("Containers: 5MB, 5MB (100%)");
    world
        .sampan(["system", "df", "-v"])
        .exits_with(0)
        .prints("Containers space usage:")
        .prints("5MB (virtual ");
    world
        .sampan(["container", "prune", "-f"])
        .exits_with(0)
        .prints("Total reclaimed space: 5MB");
    world
        .sampan([
            "system",
            "df",
            "--format",
            "{{.Type}}: {{.Size}}, {{.Reclaimable}}",
        ])
        .exits_with(0)
        .prints("Containers: 0B, 0B");
}

fn what_a_volume_holds_is_told_and_given_back(world: &World) {
    let write = "head -c 3000000 /dev/zero > /data/big && ln -s big /data/link";
    world.ok(["run", "--rm", "-v", "data:/data", "alpine", "sh", "-c", write]);
    world.ok(["volume", "create", "unused"]);
    let answer = world
        .request("GET", "/v1.50/system/df?type=volume")
        .has_status(200);
    let usage: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(
        usage["Images"].is_null() && usage["Containers"].is_null(),
        "{usage}"
    );
    let volumes = usage["Volumes"].as_array().unwrap();
    let size = |name: &str| {
        let volume = volumes.iter().find(|volume| volume["Name"] == name).unwrap();
        volume["UsageData"]["Size"].as_i64().unwrap()
    };
    assert_eq!((size("data"), size("unused")), (3_000_003, 0));
    world
        .request("GET", "/v1.50/system/df?type=everything")
        .has_status(400)
        .says("unknown object type: everything");
    world
        .sampan(["volume", "prune", "-a", "-f"])
        .exits_with(0)
        .prints("Total reclaimed space: 3MB");
}

fn sizes_are_known_while_the_machine_is_off(world: &World) {
    world.ok(["run", "--name", "writer", "alpine", "sh", "-c", FIVE_MEGABYTES]);
    world.ok(["machine", "stop"]);
    let sizes = ["ps", "-a", "--format", "{{.Size}}"];
    assert!(world.ok(sizes).starts_with("5MB (virtual "));
    assert!(!machine_runs(world));
    // What ended without a word is counted anew.
    world.ok(["machine", "start"]);
    world.kill(world.machine_pid(), rustix::process::Signal::KILL);
    assert!(world.ok(sizes).starts_with("5MB (virtual "));
    assert!(machine_runs(world));
}

fn pruning_everything_tells_the_sum(world: &World) {
    let write = format!("{FIVE_MEGABYTES} && head -c 3000000 /dev/zero > /cache/big");
    world.ok(["run", "-v", "/cache", "alpine", "sh", "-c", &write]);
    world
        .sampan(["system", "prune", "-f", "--volumes"])
        .exits_with(0)
        .prints("Deleted Containers:\n")
        .prints("Deleted Volumes:\n")
        .prints("Total reclaimed space: 8MB");
}
