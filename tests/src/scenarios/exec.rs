//! `exec`: one more process in a running container.

use crate::world::World;

super::scenarios![
    redis_keeps_a_key_across_terminal_sessions,
    exec_gives_its_exit_code,
    exec_of_a_missing_program_exits_127,
    exec_in_a_stopped_container_is_refused,
];

fn redis_keeps_a_key_across_terminal_sessions(world: &World) {
    world.ok(["run", "-d", "--name", "store", "redis"]);
    let logs = world.start(["logs", "-f", "store"]);
    logs.wait_for("Ready to accept connections");

    // What is typed before the prompt is there is lost: redis-cli clears its terminal's input.
    let prompt = "127.0.0.1:6379>";
    let mut setting = world.terminal(["exec", "-it", "store", "redis-cli"]);
    setting.wait_for(prompt);
    setting.type_text("set river Han\r");
    setting.wait_for("OK");
    setting.wait_for(prompt);
    setting.type_text("\x04");
    setting.finish();

    let mut getting = world.terminal(["exec", "-it", "store", "redis-cli"]);
    getting.wait_for(prompt);
    getting.type_text("get river\r");
    getting.wait_for("\"Han\"");
    getting.wait_for(prompt);
    getting.type_text("exit\r");
    assert_eq!(getting.finish().0, Some(0));
    world.ok(["rm", "-f", "store"]);
}

fn exec_gives_its_exit_code(world: &World) {
    world.ok(["run", "-d", "--name", "host-of-exec", "alpine", "sleep", "86400"]);
    world
        .sampan(["exec", "host-of-exec", "sh", "-c", "echo inside; exit 9"])
        .exits_with(9)
        .prints("inside");
    world.ok(["rm", "-f", "host-of-exec"]);
}

fn exec_of_a_missing_program_exits_127(world: &World) {
    world.ok([
        "run",
        "-d",
        "--name",
        "host-of-missing",
        "alpine",
        "sleep",
        "86400",
    ]);
    let missing = world
        .sampan(["exec", "host-of-missing", "no-such-program"])
        .exits_with(127);
    missing.prints("exec: \"no-such-program\": executable file not found in $PATH");
    world.ok(["rm", "-f", "host-of-missing"]);
}

fn exec_in_a_stopped_container_is_refused(world: &World) {
    world.ok(["run", "--name", "over", "alpine", "true"]);
    world
        .sampan(["exec", "over", "true"])
        .exits_with(1)
        .warns("is not running");
}
