//! The files of containers from outside, and what their processes are and use.

use std::fs;

use crate::world::World;

super::scenarios![
    files_are_copied_out_of_and_into_a_running_container,
    files_are_copied_out_of_and_into_a_stopped_container,
    a_copy_says_what_is_wrong,
    the_difference_to_the_image_is_told,
    an_export_has_every_file_and_can_be_imported,
    a_commit_makes_an_image_of_what_the_container_wrote,
    top_shows_the_processes,
    stats_show_what_is_used,
    limits_can_be_changed_while_a_container_runs,
];

fn files_are_copied_out_of_and_into_a_running_container(world: &World) {
    world.ok([
        "run", "-d", "--name", "copied", "-v", "/volume", "alpine", "sleep", "1000",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir_all(folder.path().join("data/sub")).unwrap();
    fs::write(folder.path().join("data/sub/file"), "hello\n").unwrap();
    world.ok(["cp", &here("data"), "copied:/volume"]);
    assert_eq!(
        world.ok(["exec", "copied", "cat", "/volume/data/sub/file"]),
        "hello"
    );
    world.ok(["cp", &here("data/sub/file"), "copied:/tmp/renamed"]);
    assert_eq!(world.ok(["exec", "copied", "cat", "/tmp/renamed"]), "hello");
    world.ok(["cp", &format!("{}/.", here("data")), "copied:/tmp"]);
    assert_eq!(world.ok(["exec", "copied", "cat", "/tmp/sub/file"]), "hello");
    world.ok(["cp", "copied:/volume/data", &here("back")]);
    assert_eq!(
        fs::read_to_string(folder.path().join("back/sub/file")).unwrap(),
        "hello\n"
    );
    world.ok(["cp", "copied:/etc/hostname", &here("")]);
    assert!(folder.path().join("hostname").is_file());
    world.ok(["rm", "-fv", "copied"]);
}

fn files_are_copied_out_of_and_into_a_stopped_container(world: &World) {
    world.ok([
        "create",
        "--name",
        "still",
        "-v",
        "stilled:/volume",
        "alpine",
        "cat",
        "/volume/note",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    fs::write(&note, "from outside\n").unwrap();
    world.ok(["cp", note.to_str().unwrap(), "still:/volume/note"]);
    assert_eq!(world.ok(["start", "-a", "still"]), "from outside");
    world.ok([
        "cp",
        "still:/volume/note",
        folder.path().join("copy").to_str().unwrap(),
    ]);
    assert_eq!(
        fs::read_to_string(folder.path().join("copy")).unwrap(),
        "from outside\n"
    );
    world.ok(["rm", "still"]);
    world.ok(["volume", "rm", "stilled"]);
}

fn a_copy_says_what_is_wrong(world: &World) {
    world.ok(["create", "--name", "picky", "alpine", "true"]);
    world
        .sampan(["cp", "picky:/no/such", "/tmp/x"])
        .exits_with(1)
        .warns("Could not find the file /no/such in container picky");
    world
        .sampan(["cp", "/no/such", "picky:/tmp"])
        .exits_with(1)
        .warns("no such file or directory");
    world
        .sampan(["cp", "nobody:/etc", "/tmp/x"])
        .exits_with(1)
        .warns("No such container: nobody");
    world.ok(["rm", "picky"]);
}

fn the_difference_to_the_image_is_told(world: &World) {
    let script = "echo x > /root/new; rm /etc/passwd; echo y >> /etc/group; mkdir /made";
    world.ok(["run", "--name", "different", "alpine", "sh", "-c", script]);
    let diff = world.ok(["diff", "different"]);
    assert_eq!(
        diff,
        "C /etc\nC /etc/group\nD /etc/passwd\nA /made\nC /root\nA /root/new"
    );
    world.ok(["rm", "different"]);
    // The one has the folders that the runtime mounts into, the other none of them.
    for command in [&["alpine", "true"][..], &["hello-world"]] {
        world.ok([&["run", "--name", "same"], command].concat());
        assert_eq!(world.ok(["diff", "same"]), "");
        world.ok(["rm", "same"]);
    }
}

fn an_export_has_every_file_and_can_be_imported(world: &World) {
    world.ok([
        "run",
        "--name",
        "exported",
        "alpine",
        "sh",
        "-c",
        "echo kept > /root/note",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.tar");
    let path = path.to_str().unwrap();
    world.ok(["export", "-o", path, "exported"]);
    let id = world.ok(["import", "--change", "CMD cat /root/note", path, "imported:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(world.ok(["run", "--rm", "imported:1"]), "kept");
    world.ok(["rm", "exported"]);
    world.ok(["rmi", "imported:1"]);
}

fn a_commit_makes_an_image_of_what_the_container_wrote(world: &World) {
    let script = "echo changed > /etc/motd; rm -r /home; ln /etc/motd /etc/again";
    world.ok(["run", "--name", "base", "alpine", "sh", "-c", script]);
    let commit = [
        "commit",
        "-m",
        "first",
        "-c",
        "ENV A=1",
        "-c",
        "CMD [\"cat\", \"/etc/motd\"]",
        "base",
        "derived:1",
    ];
    let id = world.ok(commit);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(world.ok(["run", "--rm", "derived:1"]), "changed");
    assert_eq!(
        world.ok([
            "run",
            "--rm",
            "derived:1",
            "sh",
            "-c",
            "echo $A; ls -d /home 2>/dev/null; cat /etc/again"
        ]),
        "1\nchanged"
    );
    let history = world.ok(["history", "--format", "{{.Comment}}", "derived:1"]);
    assert!(history.starts_with("first"), "{history}");
    world.ok(["rm", "base"]);
    world.ok(["rmi", "derived:1"]);
}

fn top_shows_the_processes(world: &World) {
    world.ok(["run", "-d", "--name", "topped", "alpine", "sleep", "1000"]);
    let top = world.ok(["top", "topped"]);
    let mut lines = top.lines();
    let title: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(title, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert!(lines.next().unwrap().ends_with("sleep 1000"), "{top}");
    assert_eq!(
        world.ok(["top", "topped", "-o", "comm"]).lines().nth(1),
        Some("sleep")
    );
    world.ok(["rm", "-f", "topped"]);
}

fn stats_show_what_is_used(world: &World) {
    world.ok([
        "run", "-d", "--name", "measured", "--memory", "64m", "alpine", "sleep", "1000",
    ]);
    let format = "{{.Name}} {{.MemUsage}} {{.PIDs}}";
    let stats = world.ok(["stats", "--no-stream", "--format", format, "measured"]);
    assert!(
        stats.starts_with("measured ") && stats.ends_with(" / 64MiB 1"),
        "{stats}"
    );
    world.ok(["rm", "-f", "measured"]);
}

fn limits_can_be_changed_while_a_container_runs(world: &World) {
    world.ok(["run", "-d", "--name", "updated", "alpine", "sleep", "1000"]);
    assert_eq!(
        world.ok(["update", "--memory", "32m", "--pids-limit", "7", "updated"]),
        "updated"
    );
    let read = |file: &str| world.ok(["exec", "updated", "cat", &format!("/sys/fs/cgroup/{file}")]);
    assert_eq!(
        (read("memory.max").as_str(), read("pids.max").as_str()),
        ("33554432", "7")
    );
    assert_eq!(world.inspect("updated", "/HostConfig/Memory"), 33_554_432);
    world.ok(["rm", "-f", "updated"]);
}
