//! Containers come, run and go: `ps`, `stop`, `kill`, `rm`, `wait`, `logs`.

use crate::world::World;

super::scenarios![
    a_pinging_container_shows_in_ps_and_stop_ends_it_with_137,
    kill_does_not_wait_for_the_grace,
    stop_lets_a_program_that_minds_sigterm_end_by_itself,
    rm_refuses_a_running_container_unless_forced,
    rm_flag_removes_the_container_and_frees_its_name,
    logs_tell_what_a_detached_container_wrote,
    the_writable_layer_survives_a_restart_of_the_container,
    wait_gives_the_exit_code,
    a_name_is_taken_only_once,
];

fn a_pinging_container_shows_in_ps_and_stop_ends_it_with_137(world: &World) {
    let ping = world.start(["run", "--name", "pinging", "alpine", "ping", "localhost"]);
    ping.wait_for("seq=1");
    let ps = world.sampan(["ps"]).exits_with(0);
    let row = ps
        .stdout
        .lines()
        .find(|line| line.ends_with("pinging"))
        .unwrap_or_else(|| panic!("{ps}"));
    assert!(
        row.contains("alpine") && row.contains("\"ping localhost\"") && row.contains("Up "),
        "{row}"
    );

    assert_eq!(world.ok(["stop", "pinging"]), "pinging");
    ping.finish().exits_with(137);
    let all = world.sampan(["ps", "-a"]).exits_with(0);
    let row = all
        .stdout
        .lines()
        .find(|line| line.ends_with("pinging"))
        .unwrap_or_else(|| panic!("{all}"));
    assert!(row.contains("Exited (137)"), "{row}");
    assert!(!world.ok(["ps"]).contains("pinging"));
}

fn kill_does_not_wait_for_the_grace(world: &World) {
    world.ok([
        "run",
        "-d",
        "--name",
        "killed",
        "--stop-timeout",
        "86400",
        "alpine",
        "sleep",
        "86400",
    ]);
    world.ok(["kill", "killed"]);
    world.ok(["wait", "killed"]);
    assert_eq!(world.inspect("killed", "/State/ExitCode"), 137);
}

fn stop_lets_a_program_that_minds_sigterm_end_by_itself(world: &World) {
    let script = "trap 'echo leaving; exit 7' TERM; echo ready; while :; do sleep 1; done";
    let run = world.start(["run", "--name", "minding", "alpine", "sh", "-c", script]);
    run.wait_for("ready");
    world.ok(["stop", "--time", "600", "minding"]);
    run.finish().exits_with(7).prints("leaving");
}

fn rm_refuses_a_running_container_unless_forced(world: &World) {
    world.ok(["run", "-d", "--name", "kept", "alpine", "sleep", "86400"]);
    let refused = world.sampan(["rm", "kept"]).exits_with(1);
    refused.warns("container is running: stop the container before removing or force remove");
    world.ok(["rm", "-f", "kept"]);
    world
        .sampan(["inspect", "kept"])
        .exits_with(1)
        .warns("No such object: kept");
}

fn rm_flag_removes_the_container_and_frees_its_name(world: &World) {
    for _ in 0..2 {
        world
            .sampan(["run", "--rm", "--name", "fleeting", "alpine", "true"])
            .exits_with(0);
    }
    assert!(!world.ok(["ps", "-a"]).contains("fleeting"));
}

fn logs_tell_what_a_detached_container_wrote(world: &World) {
    world.ok([
        "run",
        "-d",
        "--name",
        "writer",
        "alpine",
        "sh",
        "-c",
        "echo to-out; echo to-err >&2",
    ]);
    world.ok(["wait", "writer"]);
    let logs = world.sampan(["logs", "writer"]).exits_with(0);
    assert_eq!(
        (logs.stdout.as_str(), logs.stderr.as_str()),
        ("to-out\n", "to-err\n")
    );
}

fn the_writable_layer_survives_a_restart_of_the_container(world: &World) {
    let script = "if [ -e /left ]; then cat /left; else echo kept > /left; fi";
    world.ok(["run", "--name", "twice", "alpine", "sh", "-c", script]);
    world
        .sampan(["start", "-a", "twice"])
        .exits_with(0)
        .prints("kept");
}

fn wait_gives_the_exit_code(world: &World) {
    world.ok(["run", "-d", "--name", "three", "alpine", "sh", "-c", "exit 3"]);
    assert_eq!(world.ok(["wait", "three"]), "3");
}

fn a_name_is_taken_only_once(world: &World) {
    world.ok(["create", "--name", "taken", "alpine"]);
    world
        .sampan(["create", "--name", "taken", "alpine"])
        .exits_with(1)
        .warns("Error response from daemon: Conflict. The container name \"/taken\" is already in use by container");
    world
        .sampan(["run", "--name", "taken", "alpine"])
        .exits_with(125)
        .warns("Conflict. The container name \"/taken\" is already in use by container");
}
