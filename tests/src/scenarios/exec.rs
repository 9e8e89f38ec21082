//! `exec`: one more process in a running container.

use serde_json::json;

use crate::world::World;

super::scenarios![
    redis_keeps_a_key_across_terminal_sessions,
    exec_gives_its_exit_code,
    exec_of_a_missing_program_exits_127,
    exec_in_a_stopped_container_is_refused,
    an_exec_is_framed_unless_its_start_speaks_of_a_terminal,
    a_connection_that_carried_a_request_before_carries_an_execs_output,
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

/// Creates an exec over the API and returns where it is started.
fn created(world: &World, container: &str, terminal: bool) -> String {
    let config = json!({ "Cmd": ["echo", "hello"], "Tty": terminal, "AttachStdout": true });
    let answer = world
        .post(&format!("/containers/{container}/exec"), &config)
        .has_status(201);
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    format!("/exec/{}/start", answer["Id"].as_str().unwrap())
}

fn an_exec_is_framed_unless_its_start_speaks_of_a_terminal(world: &World) {
    world.ok([
        "run",
        "-d",
        "--name",
        "host-of-frames",
        "alpine",
        "sleep",
        "86400",
    ]);
    let output = |terminal: bool, start: bool| {
        let place = created(world, "host-of-frames", terminal);
        world.post(&place, &json!({ "Tty": start })).has_status(200).body
    };
    assert_eq!(output(false, false), "\u{1}\0\0\0\0\0\0\u{6}hello\n");
    assert_eq!(output(true, true), "hello\r\n");
    // Docker's clients send the same twice; those that do not are answered as they asked.
    // What a terminal writes comes in one frame or in two.
    let framed = output(true, false);
    assert!(framed.starts_with("\u{1}\0\0\0\0\0\0"), "{framed:?}");
    assert!(framed.contains("hello") && framed.ends_with("\r\n"), "{framed:?}");
    assert_eq!(output(false, true), "hello\n");
    world.ok(["rm", "-f", "host-of-frames"]);
}

fn a_connection_that_carried_a_request_before_carries_an_execs_output(world: &World) {
    world.ok(["run", "-d", "--name", "host-of-more", "alpine", "sleep", "86400"]);
    let mut connection = world.connect();
    connection
        .send(b"GET /_ping HTTP/1.1\r\nHost: sampan\r\n\r\n")
        .unwrap();
    let start = json!({ "Detach": false }).to_string();
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        start.len()
    );
    connection.send_head("POST", &created(world, "host-of-more", true), &headers);
    connection.send(start.as_bytes()).unwrap();
    connection
        .answer()
        .has_status(200)
        .says("HTTP/1.1 200 OK")
        // What a terminal writes comes in one frame or in two.
        .says("hello");
    world.ok(["rm", "-f", "host-of-more"]);
}
