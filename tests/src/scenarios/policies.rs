//! Restart policies and health checks.

use crate::world::World;

super::scenarios![
    a_container_that_fails_is_started_again,
    a_container_comes_back_with_its_machine_and_its_service,
    a_health_check_is_told_in_the_status,
    a_killed_container_is_not_started_again,
];

fn a_container_that_fails_is_started_again(world: &World) {
    let script = "echo run >> /log; exit 3";
    world.ok([
        "run",
        "-d",
        "--name",
        "failing",
        "--restart",
        "on-failure:2",
        "alpine",
        "sh",
        "-c",
        script,
    ]);
    let events = [
        "events",
        "--since",
        "0",
        "--filter",
        "container=failing",
        "--filter",
        "event=die",
        "--format",
        "{{.Action}}",
    ];
    let ends = world.start(events);
    for _ in 0..3 {
        ends.wait_for("die");
    }
    world.ok(["wait", "failing"]);
    assert_eq!(world.inspect("failing", "/RestartCount"), 2);
    assert_eq!(world.inspect("failing", "/State/Status"), "exited");
    world.ok(["rm", "failing"]);
}

fn a_container_comes_back_with_its_machine_and_its_service(world: &World) {
    world.ok([
        "run",
        "-d",
        "--name",
        "steady",
        "--restart",
        "always",
        "alpine",
        "sleep",
        "1000",
    ]);
    let started = |since: &str| {
        let events = [
            "events",
            "--since",
            since,
            "--filter",
            "container=steady",
            "--filter",
            "event=start",
            "--format",
            "{{.Action}}",
        ];
        world.start(events).wait_for("start");
    };
    world.ok(["machine", "stop"]);
    assert_eq!(world.inspect("steady", "/State/Status"), "exited");
    let before = world.inspect("steady", "/State/FinishedAt");
    world.ok(["machine", "start"]);
    started(before.as_str().unwrap());
    world.ok(["service", "stop"]);
    started("0");
    assert_eq!(world.inspect("steady", "/State/Status"), "running");
    world.ok(["rm", "-f", "steady"]);
}

fn a_health_check_is_told_in_the_status(world: &World) {
    let run = [
        "run",
        "-d",
        "--name",
        "checked",
        "--health-cmd",
        "test -e /tmp/well",
        "--health-interval",
        "100ms",
        "--health-retries",
        "1",
        "alpine",
        "sleep",
        "1000",
    ];
    world.ok(run);
    let events = [
        "events",
        "--since",
        "0",
        "--filter",
        "container=checked",
        "--format",
        "{{.Action}}",
    ];
    let events = world.start(events);
    events.wait_for("health_status: unhealthy");
    world.ok(["exec", "checked", "touch", "/tmp/well"]);
    events.wait_for("health_status: healthy");
    let status = world.ok(["ps", "--filter", "name=checked", "--format", "{{.Status}}"]);
    assert!(status.ends_with("(healthy)"), "{status}");
    world.ok(["rm", "-f", "checked"]);
}

fn a_killed_container_is_not_started_again(world: &World) {
    world.ok([
        "run",
        "-d",
        "--name",
        "doomed",
        "--restart",
        "always",
        "alpine",
        "sleep",
        "1000",
    ]);
    world.ok(["kill", "doomed"]);
    world.ok(["wait", "doomed"]);
    assert_eq!(world.inspect("doomed", "/State/Status"), "exited");
    world.ok(["rm", "doomed"]);
}
