//! Clients that were not written here: the `docker` command, as Debian ships it, against the service's socket.

use std::fs;

use crate::world::{Auth, Docker, World};

super::scenarios![
    a_course_on_containers_goes_through_with_the_docker_command,
    the_docker_command_copies_measures_and_commits,
    the_docker_command_tells_the_same_sizes,
    the_docker_command_pushes_and_pulls_at_a_registry_that_it_is_logged_in_to,
    the_docker_command_is_warned_of_ports_that_are_not_published,
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

fn the_docker_command_pushes_and_pulls_at_a_registry_that_it_is_logged_in_to(world: &World) {
    let docker = world.docker();
    said(&docker, ["pull", "-q", "hello-world"]);
    let server = world.registry().domain();
    let image = format!("{server}/team/hello:1");
    said(&docker, ["tag", "hello-world", &image]);
    // Base64 of `user:pass`.
    world.registry().set_auth(Auth::Basic("dXNlcjpwYXNz".to_owned()));

    docker
        .run(["push", &image])
        .exits_with(1)
        .warns("may require 'docker login'");
    docker
        .run_with_input(
            ["login", "--username", "user", "--password-stdin", &server],
            "wrong",
        )
        .exits_with(1)
        .warns("unauthorized");
    docker
        .run_with_input(
            ["login", "--username", "user", "--password-stdin", &server],
            "pass",
        )
        .exits_with(0)
        .prints("Login Succeeded");
    docker
        .run(["push", &image])
        .exits_with(0)
        .prints("1: digest: sha256:");
    let id = said(&docker, ["inspect", "-f", "{{.Id}}", &image]);
    said(&docker, ["rmi", &image, "hello-world"]);
    said(&docker, ["pull", "-q", &image]);
    assert_eq!(said(&docker, ["inspect", "-f", "{{.Id}}", &image]), id);
    docker
        .run(["manifest", "inspect", "--insecure", &image])
        .exits_with(0);

    said(&docker, ["logout", &server]);
    said(&docker, ["rmi", &image]);
    docker.run(["pull", "-q", &image]).exits_with(1);
}

fn the_docker_command_is_warned_of_ports_that_are_not_published(world: &World) {
    let docker = world.docker();
    docker
        .run(["run", "--rm", "-P", "--expose", "80", "alpine", "echo", "ran"])
        .exits_with(0)
        .prints("ran\n")
        .warns("WARNING: sampan does not publish ports yet: 80/tcp of this container can be reached from containers");
    docker
        .run(["run", "--rm", "-p", "8080:80", "alpine", "true"])
        .exits_with(125)
        .warns("sampan does not support publishing ports (-p) yet");
}
