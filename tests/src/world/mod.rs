//! What a scenario stands in: a home folder of its own, a registry, a service, and the `sampan` program.

mod apart;
mod api;
mod census;
mod docker;
mod kind;
mod output;
mod programs;
mod registry;
mod running;
mod terminal;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

pub use apart::{apart, forbid_kvm, is_possible as namespaces_are_possible, mount_small};
pub use docker::Docker;
pub use kind::Kind;
pub use output::Output;
pub use registry::{Auth, Faults, Image, Registry};
pub use running::Running;
pub use terminal::Terminal;

/// The world that most scenarios share; made by the first that asks.
#[derive(Clone, Default)]
pub struct Shared {
    world: Arc<Mutex<Option<Arc<World>>>>,
}

impl Shared {
    /// The shared world.
    pub fn world(&self) -> Arc<World> {
        let mut world = self
            .world
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        world.get_or_insert_with(|| Arc::new(World::new())).clone()
    }

    /// Ends the shared world's service.
    pub fn stop(&self) {
        self.world
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
    }
}

/// A home folder with its own service. Dropping it ends the service and deletes the folder.
pub struct World {
    home: tempfile::TempDir,
    kind: Kind,
    registry: Registry,
}

impl World {
    /// A world in which nothing has happened yet: no service, no image.
    pub fn new() -> Self {
        Self::with_settings("")
    }

    /// Such a world with more lines in its `config.toml`.
    pub fn with_settings(settings: &str) -> Self {
        // A unix socket's path has room for 107 bytes, so the folder's own is short.
        Self::of(Kind::from_environment(), settings, Path::new("/tmp"))
    }

    /// Such a world with machines of another kind and its home below `parent`.
    pub fn of(kind: Kind, settings: &str, parent: &Path) -> Self {
        let registry = Registry::start(&kind.images);
        let home = tempfile::Builder::new()
            .prefix("sampan")
            .tempdir_in(parent)
            .unwrap();
        let config = format!(
            "architecture = \"{}\"\nacceleration = \"{}\"\n{settings}\n[mirrors]\n\"docker.io\" = [\"{}\"]\n",
            kind.architecture,
            kind.acceleration,
            registry.url(),
        );
        fs::write(home.path().join("config.toml"), config).unwrap();
        Self { home, kind, registry }
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn command<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Command {
        let mut command = Command::new(&self.kind.program);
        command
            .args(arguments)
            .env("SAMPAN_HOME", self.home())
            .env("SAMPAN_SHARE", &self.kind.share)
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .env_remove("SAMPAN_CONTEXT")
            .env_remove("SAMPAN_HOST");
        command
    }

    /// Runs `sampan` with these arguments and no input, to its end.
    pub fn sampan<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null());
        Output::of(&mut command)
    }

    /// The same with these variables in the environment of `sampan`, and of the service that it starts.
    pub fn sampan_in<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        environment: &[(&str, &OsStr)],
        arguments: I,
    ) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).envs(environment.iter().copied());
        Output::of(&mut command)
    }

    /// Runs `sampan`, which has to succeed, and gives its standard output without the last line end.
    pub fn ok<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> String {
        let output = self.sampan(arguments);
        assert_eq!(output.code, Some(0), "{output}");
        output.stdout.trim_end().to_owned()
    }

    /// [`World::sampan_in`], which has to succeed.
    pub fn ok_in<I: IntoIterator<Item: AsRef<OsStr>>>(&self, environment: &[(&str, &OsStr)], arguments: I) {
        let output = self.sampan_in(environment, arguments);
        assert_eq!(output.code, Some(0), "{output}");
    }

    /// Starts `sampan` with pipes for its three streams.
    pub fn start<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Running {
        Running::start(self.command(arguments))
    }

    /// The same with these variables in its environment.
    pub fn start_in<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        environment: &[(&str, &OsStr)],
        arguments: I,
    ) -> Running {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        Running::start(command)
    }

    /// Runs `sampan` until its first line of output, then closes the pipe and waits for its end.
    pub fn first_line<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> String {
        running::first_line(self.command(arguments))
    }

    /// Starts `sampan` on a terminal of its own.
    pub fn terminal<I: IntoIterator<Item: AsRef<OsStr>>>(&self, arguments: I) -> Terminal {
        self.terminal_in(&[], arguments)
    }

    /// The same with these variables in its environment.
    pub fn terminal_in<I: IntoIterator<Item: AsRef<OsStr>>>(
        &self,
        environment: &[(&str, &OsStr)],
        arguments: I,
    ) -> Terminal {
        let arguments: Vec<_> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        let own = [
            ("SAMPAN_HOME", self.home().as_os_str()),
            ("SAMPAN_SHARE", self.kind.share.as_os_str()),
        ];
        Terminal::start(&self.kind.program, &arguments, &[&own, environment].concat())
    }

    /// One value of a container or an image, by a JSON pointer into `sampan inspect`.
    pub fn inspect(&self, name: &str, pointer: &str) -> serde_json::Value {
        let text = self.ok(["inspect", name]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value[0]
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{pointer} is not in {text}"))
            .clone()
    }

    /// There is no image, and no file of one or of half of one.
    #[track_caller]
    pub fn assert_no_image(&self) {
        assert_eq!(self.ok(["images", "-q"]), "");
        for folder in ["layers", "tmp"] {
            let left: Vec<_> = fs::read_dir(self.home().join("store").join(folder))
                .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                .unwrap_or_default();
            assert!(left.is_empty(), "{left:?} was left behind");
        }
    }

    /// Sends a signal to one of the world's own processes; that it has ended already is no fault.
    pub fn kill(&self, pid: i32, signal: rustix::process::Signal) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal);
    }

    /// The process ID of the service.
    pub fn service_pid(&self) -> i32 {
        let inspection: serde_json::Value = serde_json::from_str(&self.ok(["machine", "inspect"])).unwrap();
        inspection["ServicePid"].as_i64().unwrap() as i32
    }

    /// The process ID of the machine's own process.
    pub fn machine_pid(&self) -> i32 {
        self.running_machine().unwrap()
    }

    /// The same of a machine that may not run.
    pub fn running_machine(&self) -> Option<i32> {
        let inspection: serde_json::Value = serde_json::from_str(&self.ok(["machine", "inspect"])).unwrap();
        Some(inspection["Pid"].as_i64()? as i32)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever engine the scenario has chosen.
        let _ = self.sampan(["-c", "default", "service", "stop"]);
    }
}
