//! `docker compose`, as Debian ships it, against the service's socket.

use std::fs;

use crate::world::{Docker, Output, World};

super::scenarios![
    services_wait_for_each_other_and_leave_nothing_behind,
    a_recreated_service_finds_its_volume_and_a_smaller_scale_removes_the_rest,
    a_service_reaches_by_name_what_shares_a_network_and_nothing_else,
];

const SERVICES: &str = r#"
name: project
services:
  db:
    image: redis
    volumes: ["data:/data"]
    healthcheck: { test: ["CMD", "redis-cli", "ping"], interval: 500ms, retries: 60 }
  web:
    image: alpine
    command: sleep 1000
    init: true
    networks: [default, front]
    depends_on: { db: { condition: service_healthy } }
  extra:
    image: alpine
    command: sleep 1000
    init: true
    networks: [front]
    profiles: [debug]
networks: { front: {} }
volumes: { data: {} }
"#;

/// A project in a folder of its own.
struct Project<'a> {
    docker: Docker<'a>,
    folder: tempfile::TempDir,
}

impl<'a> Project<'a> {
    fn new(world: &'a World) -> Self {
        let folder = tempfile::Builder::new().prefix("project").tempdir().unwrap();
        fs::write(folder.path().join("compose.yaml"), SERVICES).unwrap();
        let docker = world.docker();
        Self { docker, folder }
    }

    /// Runs `docker compose` with these arguments, to its end.
    fn compose(&self, arguments: &[&str]) -> Output {
        let file = self.folder.path().join("compose.yaml");
        let before = ["compose", "-f", file.to_str().unwrap()];
        self.docker.run(before.iter().chain(arguments))
    }

    /// The same; it has to succeed.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Output {
        self.compose(arguments).exits_with(0)
    }

    fn said(&self, arguments: &[&str]) -> String {
        self.docker
            .run(arguments)
            .exits_with(0)
            .stdout
            .trim_end()
            .to_owned()
    }

    /// The names of the services' containers that there are, with what `docker ps` says of them.
    fn containers(&self) -> Vec<String> {
        let listed = self.ok(&["ps", "--all", "--format", "{{.Name}} {{.Status}}"]);
        let mut lines: Vec<String> = listed.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn services_wait_for_each_other_and_leave_nothing_behind(world: &World) {
    let project = Project::new(world);
    project.ok(&["up", "-d", "--scale", "web=2"]);
    let containers = project.containers();
    assert_eq!(containers.len(), 3, "{containers:?}");
    assert!(
        containers[0].starts_with("project-db-1 Up") && containers[0].ends_with("(healthy)"),
        "{containers:?}"
    );
    assert!(containers[2].starts_with("project-web-2 Up"), "{containers:?}");
    project.ok(&["logs", "db"]).prints("Ready to accept connections");
    project
        .ok(&["run", "--rm", "-T", "web", "echo", "once"])
        .prints("once\n");
    project.ok(&["pause", "web"]);
    assert!(project.containers()[1].ends_with("(Paused)"));
    project.ok(&["unpause", "web"]);
    project.ok(&["restart", "--timeout", "1", "web"]);
    assert_eq!(
        project.ok(&["ps", "-q", "web"]).stdout.lines().count(),
        2,
        "both came back"
    );

    project.ok(&["--profile", "debug", "down", "-v", "--timeout", "1"]);
    assert_eq!(project.said(&["ps", "-aq"]), "");
    assert_eq!(project.said(&["volume", "ls", "-q"]), "");
    assert_eq!(
        project.said(&["network", "ls", "--format", "{{.Name}}"]),
        "bridge\nhost\nnone"
    );
}

fn a_recreated_service_finds_its_volume_and_a_smaller_scale_removes_the_rest(world: &World) {
    let project = Project::new(world);
    project.ok(&["up", "-d", "--scale", "web=3"]);
    let first = project.said(&["inspect", "-f", "{{.Id}}", "project-db-1"]);
    project
        .ok(&["exec", "-T", "db", "redis-cli", "set", "key", "value"])
        .prints("OK");
    project.ok(&["up", "-d", "--no-deps", "--force-recreate", "--wait", "db"]);
    assert_ne!(project.said(&["inspect", "-f", "{{.Id}}", "project-db-1"]), first);
    project
        .ok(&["exec", "-T", "db", "redis-cli", "get", "key"])
        .prints("value");

    project.ok(&["up", "-d", "--scale", "web=1"]);
    let left = project.ok(&["ps", "-aq", "web"]).stdout;
    assert_eq!(left.lines().count(), 1, "{left}");
    project.ok(&["down", "--timeout", "1"]);
    assert_eq!(
        project.said(&["volume", "ls", "-q"]),
        "project_data",
        "a volume outlives its project unless -v is given"
    );
}

fn a_service_reaches_by_name_what_shares_a_network_and_nothing_else(world: &World) {
    let project = Project::new(world);
    project.ok(&["--profile", "debug", "up", "-d"]);
    let ping = |from: &str, to: &str| project.compose(&["exec", "-T", from, "ping", "-c", "1", to]);
    ping("web", "db").exits_with(0);
    ping("web", "extra").exits_with(0);
    ping("extra", "web").exits_with(0);
    ping("extra", "db").exits_with(1);
    project
        .ok(&["exec", "-T", "web", "ls", "/sys/class/net"])
        .prints("eth0\neth1\nlo");
    project.ok(&["--profile", "debug", "down", "-v", "--timeout", "1"]);
}
