//! Container logs as their drivers keep them.

use crate::world::World;

super::scenarios![
    a_rotated_log_is_followed_and_read_in_order,
    a_log_tells_its_attributes,
    a_container_without_a_log_runs_in_the_foreground,
    a_log_option_that_is_not_there_is_refused,
];

fn a_rotated_log_is_followed_and_read_in_order(world: &World) {
    for driver in ["json-file", "local"] {
        let name = format!("rotating-{driver}");
        let script = "read go; seq 1 2000";
        world.ok([
            "run",
            "-d",
            "-i",
            "--name",
            &name,
            "--log-driver",
            driver,
            "--log-opt",
            "max-size=20k",
            "--log-opt",
            "max-file=50",
            "--log-opt",
            "compress=true",
            "alpine",
            "sh",
            "-c",
            script,
        ]);
        let following = world.start(["logs", "-f", &name]);
        let mut go = world.start(["attach", &name]);
        go.write(b"go\n");
        go.finish().exits_with(0);
        let expected: String = (1..=2000).map(|number| format!("{number}\n")).collect();
        assert_eq!(following.finish().exits_with(0).stdout, expected);
        assert_eq!(format!("{}\n", world.ok(["logs", &name])), expected);
        let tail = world.ok(["logs", "--tail", "1500", &name]);
        assert!(
            tail.starts_with("501\n502\n") && tail.ends_with("\n2000"),
            "{tail}"
        );
        assert_eq!(world.inspect(&name, "/HostConfig/LogConfig/Type"), driver);
        let id = world.inspect(&name, "/Id");
        let folder = world.home().join("containers").join(id.as_str().unwrap());
        assert!(folder.exists());
        world.ok(["rm", &name]);
        assert!(!folder.exists());
    }
}

fn a_log_tells_its_attributes(world: &World) {
    world.ok([
        "run",
        "--name",
        "attributed",
        "--label",
        "app=web",
        "--log-opt",
        "labels=app",
        "--log-opt",
        "tag={{.Name}}",
        "alpine",
        "echo",
        "hello",
    ]);
    assert_eq!(
        world.ok(["logs", "--details", "attributed"]),
        "app=web,tag=attributed hello"
    );
    world.ok(["rm", "attributed"]);
}

fn a_container_without_a_log_runs_in_the_foreground(world: &World) {
    assert_eq!(
        world.ok([
            "run",
            "--name",
            "unlogged",
            "--log-driver",
            "none",
            "alpine",
            "echo",
            "seen"
        ]),
        "seen"
    );
    let output = world.sampan(["logs", "unlogged"]).exits_with(1);
    assert!(
        output
            .stderr
            .contains("configured logging driver does not support reading"),
        "{output}"
    );
    world.ok(["rm", "unlogged"]);
}

fn a_log_option_that_is_not_there_is_refused(world: &World) {
    let output = world
        .sampan(["run", "--rm", "--log-opt", "max-sise=1m", "alpine", "true"])
        .exits_with(125);
    assert!(
        output
            .stderr
            .contains("unknown log opt 'max-sise' for json-file log driver"),
        "{output}"
    );
}
