//! The engine of another computer: a person's `sampan` has a home of its own, and reaches the world's by `ssh` or at a
//! port.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::world::World;

super::scenarios![
    the_engine_of_another_computer_is_reached_behind_ssh_and_started_there,
    the_engine_of_another_computer_is_reached_at_a_port,
];

/// A computer with nothing on it but `sampan`, and an `ssh` that leads to the world's computer.
struct Laptop {
    folder: tempfile::TempDir,
    path: OsString,
}

impl Laptop {
    fn new(world: &World) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("laptop")
            .tempdir_in("/tmp")
            .unwrap();
        let ssh = folder.path().join("ssh");
        // As `sshd` does, it has a shell run the command; the other computer has no `docker`.
        let script = format!(
            "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexport SAMPAN_HOME='{}'\n\
             sampan() {{ exec '{}' \"$@\"; }}\ndocker() {{ exit 127; }}\neval \"$*\"\n",
            world.home().display(),
            world.kind().program.display(),
        );
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
        let mut path = folder.path().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        Self { folder, path }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("sampan")
    }

    fn docker(&self) -> PathBuf {
        self.folder.path().join("docker")
    }

    /// The variables that make `sampan` the one of this computer.
    fn here<T>(&self, body: impl FnOnce(&[(&str, &OsStr)]) -> T) -> T {
        body(&[
            ("SAMPAN_HOME", self.home().as_os_str()),
            ("DOCKER_CONFIG", self.docker().as_os_str()),
            ("PATH", &self.path),
        ])
    }
}

/// Containers run where the variables lead, and their input ends before their output does.
fn assert_containers_run(world: &World, environment: &[(&str, &OsStr)]) {
    world
        .sampan_in(
            environment,
            ["run", "--rm", "alpine", "sh", "-c", "echo out; exit 3"],
        )
        .exits_with(3)
        .prints("out\n");
    let mut sort = world.start_in(environment, ["run", "--rm", "-i", "alpine", "sort"]);
    sort.write(b"two\none\n");
    sort.finish().exits_with(0).prints("one\ntwo\n");
}

fn the_engine_of_another_computer_is_reached_behind_ssh_and_started_there(world: &World) {
    let laptop = Laptop::new(world);
    laptop.here(|environment| {
        let said = |arguments: &[&str]| {
            let output = world.sampan_in(environment, arguments).exits_with(0);
            output.stdout.trim_end().to_owned()
        };
        let far = "host=ssh://me@far";
        assert_eq!(said(&["context", "create", "far", "--docker", far]), "far");
        assert_eq!(said(&["context", "use", "far"]), "far");
        assert_eq!(said(&["context", "show"]), "far");
        assert_eq!(
            said(&["context", "ls", "--format", "{{.Name}} {{.Current}}"]),
            "default false\nfar true"
        );
        assert!(!world.home().join("sampan.sock").exists());
        assert_containers_run(world, environment);
        assert_eq!(said(&["version", "--format", "{{.Client.Context}}"]), "far");
        assert_eq!(said(&["images", "-q"]), world.ok(["images", "-q"]));
        world
            .sampan_in(environment, ["context", "rm", "far"])
            .exits_with(1)
            .warns("context \"far\" is in use, set -f flag to force remove");
        assert_eq!(said(&["context", "rm", "-f", "far"]), "far");
        assert_eq!(said(&["context", "show"]), "default");
    });
    // Nothing was started on the laptop itself.
    assert!(!laptop.home().join("sampan.sock").exists());
}

fn the_engine_of_another_computer_is_reached_at_a_port(world: &World) {
    world.ok(["version"]);
    let address = format!("tcp://{}", forward(world.home().join("sampan.sock")));
    let laptop = Laptop::new(world);
    laptop.here(|environment| {
        let environment = [environment, &[("DOCKER_HOST", OsStr::new(&address))]].concat();
        assert_containers_run(world, &environment);
    });
}

/// A port that leads to the socket.
fn forward(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for inner in listener.incoming() {
            let inner = inner.unwrap();
            let outer = UnixStream::connect(&socket).unwrap();
            let (mut from, mut to) = (inner.try_clone().unwrap(), outer.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut to) = (outer, inner);
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

/// Scenarios in which `docker` reads and writes the same contexts.
pub mod with_docker {
    use std::ffi::OsStr;

    use crate::world::World;

    crate::scenarios::scenarios![docker_and_sampan_see_the_same_contexts_and_each_has_its_own_choice];

    fn docker_and_sampan_see_the_same_contexts_and_each_has_its_own_choice(world: &World) {
        let docker = world.docker();
        let environment: [(&str, &OsStr); 1] = [("DOCKER_CONFIG", docker.config().as_os_str())];
        let ours = |arguments: &[&str]| {
            let output = world.sampan_in(&environment, arguments).exits_with(0);
            output.stdout.trim_end().to_owned()
        };
        let theirs = |arguments: &[&str]| {
            let output = docker.run_alone(arguments).exits_with(0);
            output.stdout.trim_end().to_owned()
        };
        let socket = format!("host=unix://{}", world.home().join("sampan.sock").display());
        ours(&[
            "context",
            "create",
            "ours",
            "--description",
            "made here",
            "--docker",
            &socket,
        ]);
        theirs(&[
            "context",
            "create",
            "theirs",
            "--docker",
            "host=tcp://10.0.0.1:2376,skip-tls-verify=true",
        ]);
        assert_eq!(ours(&["context", "ls", "-q"]), "default\nours\ntheirs");
        assert_eq!(theirs(&["context", "ls", "-q"]), "default\nours\ntheirs");
        for name in ["ours", "theirs"] {
            let format = "{{.Name}} {{json .Endpoints}} {{json .Storage}}";
            let inspect = ["context", "inspect", "--format", format, name];
            assert_eq!(ours(&inspect), theirs(&inspect));
        }
        // `docker` reaches an engine by a context that was made here.
        assert_eq!(theirs(&["-c", "ours", "ps", "-q"]), "");
        theirs(&["context", "use", "theirs"]);
        assert_eq!(ours(&["context", "show"]), "default");
        world
            .sampan_in(&environment, ["context", "rm", "theirs"])
            .exits_with(1)
            .warns("context \"theirs\" is in use");
        ours(&["context", "use", "ours"]);
        assert_eq!(ours(&["context", "show"]), "ours");
        assert!(theirs(&["context", "ls"]).contains("theirs *"));

        let archive = docker.config().join("archive");
        let archive = archive.to_str().unwrap();
        theirs(&["context", "export", "theirs", archive]);
        ours(&["context", "import", "copy", archive]);
        assert!(theirs(&["context", "inspect", "copy"]).contains("tcp://10.0.0.1:2376"));
        std::fs::remove_file(archive).unwrap();
        ours(&["context", "export", "copy", archive]);
        theirs(&["context", "import", "again", archive]);
        theirs(&["context", "rm", "copy"]);
        assert_eq!(ours(&["context", "ls", "-q"]), "again\ndefault\nours\ntheirs");
    }
}
