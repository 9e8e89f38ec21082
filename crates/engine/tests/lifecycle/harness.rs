//! An engine in a temporary home, with an image of one layer.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{ContainerCreateBody, ContainerInspectResponse, HostConfig};
use engine::{
    Acceleration, Accelerator, Architecture, AttachOptions, Attached, Channel, Engine, EngineConfig,
    EngineError, Filters, WaitCondition,
};
use libtest_mimic::Trial;

/// No test takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The name of the image that every home has.
pub(crate) const IMAGE: &str = "alpine:latest";

pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sampan").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("share")).unwrap();
        let home = Self { folder };
        for architecture in ["amd64", "arm64"] {
            std::fs::write(home.share().join(format!("initramfs-{architecture}")), "x").unwrap();
        }
        home.set_kernel("good");
        home
    }

    fn share(&self) -> PathBuf {
        self.folder.path().join("share")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Says how the next boot goes.
    pub(crate) fn set_kernel(&self, text: &str) {
        for architecture in ["amd64", "arm64"] {
            std::fs::write(self.share().join(format!("kernel-{architecture}")), text).unwrap();
        }
    }

    pub(crate) fn machine(&self) -> PathBuf {
        self.path().join("machines").join("amd64")
    }

    pub(crate) fn notes(&self) -> String {
        std::fs::read_to_string(self.machine().join("notes")).unwrap_or_default()
    }

    pub(crate) fn open(&self) -> Engine {
        open(self.folder.path()).unwrap()
    }

    /// Opens an engine once the one before has let go of the home.
    pub(crate) async fn reopen(&self) -> Engine {
        loop {
            match open(self.folder.path()) {
                Ok(engine) => return engine,
                Err(EngineError::HomeInUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The path to give the `service` mode.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) fn open(root: &Path) -> engine::Result<Engine> {
    Engine::open(EngineConfig {
        home: root.join("home"),
        share: root.join("share"),
        architecture: Architecture::Amd64,
        acceleration: Acceleration::Only(Accelerator::Tcg),
        cpus: 2,
        memory_mib: 512,
        disk_bytes: engine::DEFAULT_DISK,
        verbose_console: false,
        idle: None,
        mirrors: Vec::new(),
        insecure_registries: Vec::new(),
        registry_timeout: std::time::Duration::from_secs(30),
        log: engine::LogDefaults::default(),
        vmm_command: vec![std::env::current_exe().unwrap().into(), "machine".into()],
    })
}

/// A test over a fresh home whose engine has the image.
pub(crate) fn trial<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    test: impl FnOnce(Arc<Home>, Engine) -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let home = Arc::new(Home::new());
            let engine = home.open();
            load_image(&engine).await;
            // Kept here: the folder lives until the test is over.
            tokio::time::timeout(PATIENCE, test(home.clone(), engine)).await
        })?;
        Ok(())
    })
}

/// The `service` mode: creates and starts containers, says so, and waits to be killed.
pub(crate) fn service(root: &str) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = open(Path::new(root)).unwrap();
        load_image(&engine).await;
        create(&engine, "idle", &["sleep"]).await;
        create(&engine, "busy", &["sleep"]).await;
        engine.start_container("busy").await.unwrap();
        let body = ContainerCreateBody {
            host_config: Some(HostConfig {
                auto_remove: Some(true),
                ..HostConfig::default()
            }),
            ..body(&["sleep"])
        };
        engine
            .create_container(Some("passing"), None, body)
            .await
            .unwrap();
        engine.start_container("passing").await.unwrap();
        engine.rename_container("idle", "renamed").await.unwrap();
        println!("ready");
        std::future::pending::<()>().await;
    });
    std::process::exit(1)
}

/// A docker-archive with the image, loaded.
pub(crate) async fn load_image(engine: &Engine) {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "etc/motd", b"hello\n");
    let layer = layer.into_inner().unwrap();
    let diff_id = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&layer));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["sleep"], "Env": ["PATH=/bin"], "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
    });
    let manifest = serde_json::json!([{
        "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"],
    }]);
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "config.json", config.to_string().as_bytes());
    append(&mut archive, "layer.tar", &layer);
    append(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    let archive = archive.into_inner().unwrap();
    let (progress, mut events) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    engine
        .load_images(archive.as_slice(), &[], progress)
        .await
        .unwrap();
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, path, content).unwrap();
}

pub(crate) fn body(command: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some("alpine".to_owned()),
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        ..ContainerCreateBody::default()
    }
}

pub(crate) async fn create(engine: &Engine, name: &str, command: &[&str]) -> String {
    engine
        .create_container(Some(name), None, body(command))
        .await
        .unwrap()
        .id
}

/// Creates and starts.
pub(crate) async fn run(engine: &Engine, name: &str, command: &[&str]) -> String {
    let id = create(engine, name, command).await;
    engine.start_container(&id).await.unwrap();
    id
}

/// Waits until a run is over.
pub(crate) async fn exit_code(engine: &Engine, id: &str) -> i64 {
    engine
        .wait_container(id, WaitCondition::NotRunning)
        .await
        .unwrap()
        .await
        .unwrap()
        .status_code
}

pub(crate) async fn attach(engine: &Engine, id: &str, stdin: bool) -> Attached {
    let options = AttachOptions {
        stdin,
        stdout: true,
        stderr: true,
        stream: true,
        ..AttachOptions::default()
    };
    engine.attach_container(id, options).await.unwrap()
}

/// Everything that comes out until the end, as stdout and stderr.
pub(crate) async fn output(attached: &mut Attached) -> (Vec<u8>, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = attached.output.recv().await {
        match chunk.channel {
            Channel::Stdout => stdout.extend(chunk.bytes),
            Channel::Stderr => stderr.extend(chunk.bytes),
        }
    }
    (stdout, stderr)
}

pub(crate) async fn inspect(engine: &Engine, id: &str) -> ContainerInspectResponse {
    engine.inspect_container(id).await.unwrap()
}

pub(crate) async fn status(engine: &Engine, id: &str) -> String {
    inspect(engine, id)
        .await
        .state
        .unwrap()
        .status
        .unwrap()
        .to_string()
}

/// Kills the process of the default machine.
pub(crate) async fn kill_machine(engine: &Engine) {
    let pid = engine.machine_inspect(None).await.unwrap().pid.unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

/// The names of all containers.
pub(crate) async fn names(engine: &Engine) -> Vec<String> {
    let containers = engine
        .list_containers(true, None, &Filters::default())
        .await
        .unwrap();
    let mut names: Vec<String> = containers
        .into_iter()
        .flat_map(|container| container.names.unwrap())
        .collect();
    names.sort();
    names
}
