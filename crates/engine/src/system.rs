//! What the engine says of itself: version, info, events.

use std::collections::HashMap;

use bollard_stubs::models::{
    Commit, EventMessage, LocalNodeState, PluginsInfo, Runtime, SwarmInfo, SystemInfo,
    SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemVersion, SystemVersionComponents,
    SystemVersionPlatform,
};
use protocol::Architecture;
use store::Proxies;
use tokio::sync::mpsc;
use vmm::control::Accelerator;

use crate::engine::{Engine, Inner};
use crate::error::Result;
use crate::filters::Filters;
use crate::record::Phase;
use crate::{log, time};

/// The engine's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Engine {
    /// Docker's `version`, with the reason why the server is what it is. Boots nothing. The API's own version
    /// numbers are the server's to add.
    pub async fn version(&self) -> Result<SystemVersion> {
        let inner = &self.inner;
        let architecture = inner.config.architecture;
        let machine = inner.machine(architecture);
        let report = machine.report().await;
        let kernel = report.kernel_release.clone();
        let state = if report.pid.is_some() {
            "running"
        } else {
            "stopped (boots with the first container)"
        };
        let mut details = HashMap::from([
            ("State".to_owned(), state.to_owned()),
            ("CPUs".to_owned(), report.cpus.to_string()),
            ("Memory".to_owned(), format!("{} MiB", report.memory_mib)),
            ("Acceleration".to_owned(), report.why.clone()),
            ("Why".to_owned(), inner.why(report.accelerator, kernel.as_deref())),
        ]);
        if let Some(boot_ms) = report.boot_ms {
            details.insert("BootTime".to_owned(), format!("{boot_ms} ms"));
        }
        let engine_details = HashMap::from([
            ("Os".to_owned(), "linux".to_owned()),
            ("Arch".to_owned(), architecture.docker_name().to_owned()),
            ("KernelVersion".to_owned(), kernel.clone().unwrap_or_default()),
            ("Experimental".to_owned(), "false".to_owned()),
        ]);
        let component = |name: &str, version: String, details| SystemVersionComponents {
            name: name.to_owned(),
            version,
            details: Some(details),
        };
        let emulated = if report.accelerator == Some(Accelerator::Tcg) {
            ", emulated"
        } else {
            ""
        };
        Ok(SystemVersion {
            platform: Some(SystemVersionPlatform {
                name: format!("sampan {VERSION} (linux/{architecture} machine{emulated})"),
            }),
            components: Some(vec![
                component("Engine", VERSION.to_owned(), engine_details),
                component("Machine", machine_version(report.accelerator).to_owned(), details),
                component(
                    "Guest kernel",
                    kernel.clone().unwrap_or_else(|| "not running".to_owned()),
                    HashMap::new(),
                ),
            ]),
            version: Some(VERSION.to_owned()),
            os: Some("linux".to_owned()),
            arch: Some(architecture.docker_name().to_owned()),
            kernel_version: Some(kernel.unwrap_or_default()),
            experimental: Some(false),
            ..SystemVersion::default()
        })
    }

    /// Docker's `info`.
    pub async fn info(&self) -> Result<SystemInfo> {
        let inner = &self.inner;
        let architecture = inner.config.architecture;
        let report = inner.machine(architecture).report().await;
        let images = inner.blocking(|inner| Ok(inner.store.list()?.len())).await?;
        let proxies = Proxies::from_environment().masked();
        let (mut running, mut paused, mut stopped) = (0, 0, 0);
        for container in inner.registry.all() {
            match container.with_record(|record| record.state.phase) {
                Phase::Running => running += 1,
                Phase::Paused => paused += 1,
                _ => stopped += 1,
            }
        }
        let count = |count: usize| Some(i64::try_from(count).unwrap_or(i64::MAX));
        let names = |names: &[&str]| {
            Some(
                names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<String>>(),
            )
        };
        let commit = || {
            Some(Commit {
                id: Some(String::new()),
            })
        };
        Ok(SystemInfo {
            id: Some(inner.id.clone()),
            containers: Some(running + paused + stopped),
            containers_running: Some(running),
            containers_paused: Some(paused),
            containers_stopped: Some(stopped),
            images: count(images),
            driver: Some("overlayfs".to_owned()),
            driver_status: Some(vec![
                vec!["Layers".to_owned(), "EROFS files on the host".to_owned()],
                vec![
                    "Writable layers".to_owned(),
                    "ext4 on the machine's data disk".to_owned(),
                ],
                vec!["Machine".to_owned(), report.why.clone()],
            ]),
            docker_root_dir: Some(inner.config.home.display().to_string()),
            plugins: Some(PluginsInfo {
                volume: names(&[]),
                network: names(&["none"]),
                authorization: None,
                log: names(&log::DRIVERS),
            }),
            memory_limit: Some(true),
            swap_limit: Some(true),
            cpu_cfs_period: Some(true),
            cpu_cfs_quota: Some(true),
            cpu_shares: Some(true),
            cpu_set: Some(true),
            pids_limit: Some(true),
            oom_kill_disable: Some(false),
            ipv4_forwarding: Some(false),
            debug: Some(false),
            n_events_listener: count(inner.events.listeners()),
            system_time: Some(time::rfc3339(time::now())),
            logging_driver: Some(inner.config.log.driver.clone()),
            cgroup_driver: Some(SystemInfoCgroupDriverEnum::CGROUPFS),
            cgroup_version: Some(SystemInfoCgroupVersionEnum::_2),
            kernel_version: Some(report.kernel_release.clone().unwrap_or_default()),
            operating_system: Some(format!("sampan {VERSION} on {}", host_system())),
            os_version: Some(String::new()),
            os_type: Some("linux".to_owned()),
            architecture: Some(architecture.kernel_name().to_owned()),
            ncpu: Some(i64::from(report.cpus)),
            mem_total: Some(i64::from(report.memory_mib) << 20),
            index_server_address: Some("https://index.docker.io/v1/".to_owned()),
            name: Some("sampan".to_owned()),
            labels: Some(Vec::new()),
            experimental_build: Some(false),
            server_version: Some(VERSION.to_owned()),
            runtimes: Some(HashMap::from([(
                "runc".to_owned(),
                Runtime {
                    path: Some("sampan".to_owned()),
                    ..Runtime::default()
                },
            )])),
            default_runtime: Some("runc".to_owned()),
            swarm: Some(SwarmInfo {
                local_node_state: Some(LocalNodeState::INACTIVE),
                ..SwarmInfo::default()
            }),
            live_restore_enabled: Some(false),
            init_binary: Some("sampan-init".to_owned()),
            containerd_commit: commit(),
            runc_commit: commit(),
            init_commit: commit(),
            security_options: names(&["name=seccomp,profile=builtin", "name=cgroupns"]),
            http_proxy: proxies.http,
            https_proxy: proxies.https,
            no_proxy: proxies.no,
            warnings: None,
            ..SystemInfo::default()
        })
    }

    /// The engine's events: history from `since`, then live ones until `until`, both in nanoseconds since the
    /// Unix epoch.
    pub async fn events(
        &self,
        since: Option<i64>,
        until: Option<i64>,
        filters: &Filters,
    ) -> Result<mpsc::Receiver<EventMessage>> {
        self.inner.events.subscribe(since, until, filters)
    }
}

impl Inner {
    /// Why the server is what it says it is: one sentence for a person who wonders.
    fn why(&self, accelerator: Option<Accelerator>, kernel: Option<&str>) -> String {
        let guest = self.config.architecture;
        let host = host_system();
        let kernel = kernel.map_or_else(String::new, |release| format!(" {release}"));
        let reason = match (accelerator, Architecture::of_host()) {
            (Some(Accelerator::Tcg), Some(own)) if own != guest => format!(
                "this computer is {}, and the machine is {guest}: it is emulated",
                own.docker_name()
            ),
            (Some(Accelerator::Tcg), _) => format!(
                "the machine has this computer's own architecture, {guest}, and is emulated all the same, because no \
                 hypervisor of use was found"
            ),
            (Some(accelerator), _) => format!(
                "the machine has this computer's own architecture, {guest}, because {accelerator} lets the hardware run the \
                 guest's instructions directly"
            ),
            (None, _) => "no way to run the machine was found".to_owned(),
        };
        let has = if cfg!(target_os = "linux") {
            format!("containers are kept apart from this {host} system")
        } else {
            format!("the kernel of {host} has no namespaces or cgroups")
        };
        format!("{has}, so containers run on a Linux kernel{kernel} in a machine of their own; {reason}")
    }
}

fn machine_version(accelerator: Option<Accelerator>) -> &'static str {
    match accelerator {
        Some(Accelerator::Kvm) => "KVM",
        Some(Accelerator::Hvf) => "Hypervisor.framework",
        Some(Accelerator::Whp) => "Windows Hypervisor Platform",
        Some(Accelerator::Tcg) => "QEMU (emulated)",
        None => "none",
    }
}

fn host_system() -> String {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let architecture = Architecture::of_host().map_or(std::env::consts::ARCH, Architecture::docker_name);
    format!("{os}/{architecture}")
}
