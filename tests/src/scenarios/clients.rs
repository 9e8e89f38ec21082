//! Clients that were not written here: the `docker` command and `docker compose`, as Debian ships them, against the
//! service's socket.

use std::fs;

use crate::world::{Docker, World};

super::scenarios![
    a_course_on_containers_goes_through_with_the_docker_command,
    the_docker_command_copies_measures_and_commits,
    the_docker_command_tells_the_same_sizes,
    compose_brings_up_services_that_wait_for_each_other_and_takes_them_down,
];

/// What `docker` says without the last line end; it has to succeed.
fn said<'a>(docker: &Docker<'_>, arguments: impl IntoIterator<Item = &'a str>) -> String {
    docker.run(arguments).exits_with(0).stdout.trim_end().to_owned()
}

fn a_course_on_containers_goes_through_with_the_docker_command(world: &World) {
    let docker = world.docker();
    let version = said(
        &docker,
        ["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"],
    );
    assert_eq!(version, format!("linux/{}", world.kind().architecture));

    docker
        .run(["run", "hello-world"])
        .exits_with(0)
        .warns("Unable to find image 'hello-world:latest' locally\n")
        .warns("latest: Pulling from library/hello-world\n")
        .warns("Status: Downloaded newer image for hello-world:latest\n")
        .prints(&world.kind().architecture);
    docker
        .run(["run", "--name", "failed", "hello-world", "ls"])
        .exits_with(127)
        .warns("exec: \"ls\": executable file not found in $PATH");
    docker
        .run(["run", "--rm", "alpine", "ls"])
        .exits_with(0)
        .prints("etc\n");
    assert_eq!(said(&docker, ["ps", "-q"]), "");

    let id = said(
        &docker,
        ["run", "-d", "--name", "pinger", "alpine", "ping", "localhost"],
    );
    let listed = said(&docker, ["ps"]);
    let header = [
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ];
    assert!(header.iter().all(|title| listed.contains(title)), "{listed}");
    assert!(
        listed.contains("\"ping localhost\"") && listed.contains(" Up "),
        "{listed}"
    );
    let odd = said(&docker, ["ps", "--format", "table{{.Names}}\\table{{.Image}}"]);
    assert_eq!(odd, "NAMES     ableIMAGE\npinger    ablealpine");
    assert_eq!(
        said(&docker, ["ps", "--format", "table {{.Names}}\\t{{.Image}}"]),
        "NAMES     IMAGE\npinger    alpine"
    );
    docker
        .run(["rm", "pinger"])
        .exits_with(1)
        .warns("cannot remove container \"/pinger\": container is running");
    docker
        .run(["rmi", "alpine"])
        .exits_with(1)
        .warns("conflict: unable to");
    assert_eq!(said(&docker, ["exec", "pinger", "echo", "hello"]), "hello");
    assert_eq!(said(&docker, ["stop", "-t", "1", &id]), id);
    let states = said(&docker, ["ps", "-a", "--format", "{{.Names}} {{.Status}}"]);
    assert!(
        states.contains("pinger Exited (137) ") && states.contains("failed Created"),
        "{states}"
    );

    said(&docker, ["rename", "pinger", "renamed"]);
    let created = said(&docker, ["create", "hello-world"]);
    assert_eq!(created.len(), 64);
    docker
        .run(["start", "-a", &created])
        .exits_with(0)
        .prints(&world.kind().architecture);
    let running = said(&docker, ["run", "-d", "redis"]);
    let pruned = docker.run_with_input(["system", "prune"], "y\n").exits_with(0);
    let pruned = pruned
        .prints("WARNING! This will remove:\n  - all stopped containers\n")
        .prints("Are you sure you want to continue? [y/N]")
        .prints("Deleted Containers:\n")
        .prints("Total reclaimed space:");
    assert!(
        pruned.stdout.contains(&created) && !pruned.stdout.contains(&running),
        "{pruned}"
    );
    let ready = "until redis-cli ping 2>/dev/null; do sleep 0.1; done";
    said(&docker, ["exec", &running, "sh", "-c", ready]);
    assert_eq!(
        said(&docker, ["exec", &running, "redis-cli", "set", "key", "value"]),
        "OK"
    );
    assert_eq!(
        said(&docker, ["exec", &running, "redis-cli", "get", "key"]),
        "value"
    );
    docker
        .run(["ps", "--format", "{{.Ports}}"])
        .exits_with(0)
        .prints("6379/tcp");
    said(&docker, ["kill", &running]);
    said(&docker, ["rm", &running]);
}

fn the_docker_command_copies_measures_and_commits(world: &World) {
    let docker = world.docker();
    said(
        &docker,
        [
            "run",
            "-d",
            "--name",
            "web",
            "-v",
            "data:/data",
            "alpine",
            "sleep",
            "1000",
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    fs::write(&note, "hello\n").unwrap();
    said(&docker, ["cp", note.to_str().unwrap(), "web:/data"]);
    assert_eq!(said(&docker, ["exec", "web", "cat", "/data/note"]), "hello");
    let back = folder.path().join("back");
    said(&docker, ["cp", "web:/data/note", back.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(back).unwrap(), "hello\n");
    said(&docker, ["exec", "web", "touch", "/root/new"]);
    assert_eq!(said(&docker, ["diff", "web"]), "A /data\nC /root\nA /root/new");
    docker.run(["top", "web"]).exits_with(0).prints("sleep 1000");
    let stats = said(
        &docker,
        ["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"],
    );
    assert_eq!(stats, "web 1");
    said(&docker, ["commit", "web", "mine:1"]);
    assert_eq!(said(&docker, ["run", "--rm", "mine:1", "ls", "/root"]), "new");
    said(
        &docker,
        ["update", "--memory", "64m", "--memory-swap", "64m", "web"],
    );
    docker
        .run(["inspect", "-f", "{{.HostConfig.Memory}}", "web"])
        .exits_with(0)
        .prints("67108864");
    docker
        .run(["volume", "rm", "data"])
        .exits_with(1)
        .warns("volume is in use");
    said(&docker, ["rm", "-f", "web"]);
    said(&docker, ["volume", "rm", "data"]);
}

fn the_docker_command_tells_the_same_sizes(world: &World) {
    let docker = world.docker();
    let write = "head -c 5000000 /dev/zero > /big && head -c 3000000 /dev/zero > /data/big";
    said(
        &docker,
        [
            "run",
            "--name",
            "web",
            "-v",
            "data:/data",
            "alpine",
            "sh",
            "-c",
            write,
        ],
    );
    said(&docker, ["pull", "-q", "hello-world"]);
    let usage = said(&docker, ["system", "df"]);
    assert!(
        usage.contains("Containers      1         0         5MB       5MB (100%)")
            && usage.contains("Local Volumes   1         1         3MB       0B (0%)"),
        "{usage}"
    );
    assert_eq!(world.ok(["system", "df"]), usage);
    for arguments in [
        &["ps", "-a", "-s", "--format", "{{.Names}} {{.Size}}"][..],
        &["system", "df", "--format", "json"],
        &[
            "system",
            "df",
            "-v",
            "--format",
            "{{range .Volumes}}{{.Name}} {{.Size}}{{end}}",
        ],
        &["inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "web"],
    ] {
        assert_eq!(world.ok(arguments), said(&docker, arguments.iter().copied()));
    }
    docker
        .run(["container", "prune", "-f"])
        .exits_with(0)
        .prints("Total reclaimed space: 5MB");
}

fn compose_brings_up_services_that_wait_for_each_other_and_takes_them_down(world: &World) {
    let docker = world.docker();
    let folder = tempfile::Builder::new().prefix("project").tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    let services = r#"
name: project
services:
  db:
    image: redis
    volumes: ["data:/data"]
    healthcheck: { test: ["CMD", "redis-cli", "ping"], interval: 500ms, retries: 60 }
  web:
    image: alpine
    command: sleep 1000
    networks: [default, front]
    depends_on: { db: { condition: service_healthy } }
  extra:
    image: alpine
    command: sleep 1000
    profiles: [debug]
networks: { front: {} }
volumes: { data: {} }
"#;
    fs::write(&file, services).unwrap();
    let compose = |more: &[&str]| {
        let mut arguments = vec!["compose", "-f", file.to_str().unwrap()];
        arguments.extend(more);
        docker.run(arguments).exits_with(0)
    };
    compose(&["up", "-d", "--scale", "web=2"]);
    let listed = compose(&["ps", "--format", "{{.Name}} {{.Status}}"]);
    listed
        .prints("project-db-1 Up")
        .prints("(healthy)")
        .prints("project-web-2 Up");
    compose(&["exec", "-T", "web", "ping", "-c", "1", "db"]);
    compose(&["exec", "-T", "web", "ls", "/sys/class/net"]).prints("eth0\neth1\nlo");
    compose(&["logs", "db"]).prints("Ready to accept connections");
    compose(&["--profile", "debug", "up", "-d"]);
    compose(&["ps", "-q", "extra"]);
    compose(&["--profile", "debug", "down", "-v", "--timeout", "1"]);
    assert_eq!(said(&docker, ["ps", "-aq"]), "");
    assert_eq!(said(&docker, ["volume", "ls", "-q"]), "");
    assert_eq!(
        said(&docker, ["network", "ls", "--format", "{{.Name}}"]),
        "bridge\nhost\nnone"
    );
}
