//! `kill -9` in the middle of everything: the next command works, and nothing acknowledged is lost.

use rustix::process::{Pid, Signal, kill_process};

use crate::world::World;

super::scenarios![
    killing_the_service_loses_no_container,
    killing_the_machine_ends_its_containers_and_the_next_command_boots_again,
    killing_the_service_during_a_pull_leaves_no_half_image,
];

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn killing_the_service_loses_no_container(world: &World) {
    let created = world.ok(["pull", "-q", "alpine"]);
    assert!(created.contains("alpine"), "{created}");
    let kept = world.ok(["create", "--name", "kept", "alpine", "echo", "still here"]);
    let run = world.start([
        "run",
        "--name",
        "cut-off",
        "alpine",
        "sh",
        "-c",
        "echo ready; sleep 86400",
    ]);
    run.wait_for("ready");
    kill(world.service_pid());
    run.finish();

    let all = world.sampan(["ps", "-a"]).exits_with(0);
    assert!(
        all.stdout.contains("kept") && all.stdout.contains("cut-off"),
        "{all}"
    );
    assert_eq!(world.inspect("cut-off", "/State/Running"), false);
    world
        .sampan(["start", "-a", &kept])
        .exits_with(0)
        .prints("still here");
}

fn killing_the_machine_ends_its_containers_and_the_next_command_boots_again(world: &World) {
    let run = world.start([
        "run",
        "--name",
        "cut-off",
        "alpine",
        "sh",
        "-c",
        "echo ready; sleep 86400",
    ]);
    run.wait_for("ready");
    kill(world.machine_pid());
    let output = run.finish();
    assert!(!matches!(output.code, Some(0) | None), "{output}");

    assert_eq!(world.inspect("cut-off", "/State/Status"), "exited");
    assert_eq!(world.inspect("cut-off", "/State/ExitCode"), 137);
    world
        .sampan(["run", "--rm", "alpine", "echo", "up again"])
        .exits_with(0)
        .prints("up again");
}

fn killing_the_service_during_a_pull_leaves_no_half_image(world: &World) {
    world.ok(["ps"]);
    let service = world.service_pid();
    let held = world.registry().hold_layers();
    let pull = world.start(["pull", "debian"]);
    held.wait_until_asked();
    kill(service);
    assert_ne!(pull.finish().code, Some(0));
    held.release();

    assert!(!world.ok(["images"]).contains("debian"));
    world.ok(["pull", "debian"]);
    world
        .sampan(["run", "--rm", "debian", "python3", "-c", "print('whole')"])
        .exits_with(0)
        .prints("whole");
}
