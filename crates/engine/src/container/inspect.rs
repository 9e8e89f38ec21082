//! `docker inspect` of a container (moby `daemon/inspect.go`).

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, DriverData, EndpointSettings, Health,
    NetworkSettings, PortMap,
};

use super::{Container, mounts};
use crate::engine::{Engine, Inner};
use crate::error::Result;
use crate::log::LogFile;
use crate::network::{self, Endpoint, Networks};
use crate::record::{Phase, Record};
use crate::time;

impl Engine {
    /// Everything about a container.
    pub async fn inspect_container(&self, id: &str) -> Result<ContainerInspectResponse> {
        let container = self.inner.registry.find(id)?;
        Ok(self.inner.inspect(&container))
    }
}

impl Inner {
    fn inspect(&self, container: &Container) -> ContainerInspectResponse {
        let record = container.record();
        let execs = self.execs.running_of(&record.id);
        let running = record.state.phase.is_running();
        let ports: PortMap = if running {
            record
                .config
                .exposed_ports
                .iter()
                .flatten()
                .map(|port| (port.clone(), None))
                .collect()
        } else {
            PortMap::new()
        };
        // What Docker keeps as files beside the container, sampan hands to the guest at each start.
        ContainerInspectResponse {
            id: Some(record.id.clone()),
            created: Some(time::rfc3339(record.created)),
            path: Some(record.path.clone()),
            args: Some(record.args.clone()),
            state: Some(state(&record, container.health())),
            image: Some(record.image_id.clone()),
            resolv_conf_path: Some(String::new()),
            hostname_path: Some(String::new()),
            hosts_path: Some(String::new()),
            log_path: Some(log_path(container)),
            name: Some(format!("/{}", record.name)),
            restart_count: Some(record.restart_count),
            driver: Some("overlayfs".to_owned()),
            platform: Some("linux".to_owned()),
            image_manifest_descriptor: None,
            mount_label: Some(String::new()),
            process_label: Some(String::new()),
            app_armor_profile: Some(String::new()),
            exec_ids: Some(execs).filter(|execs| !execs.is_empty()),
            graph_driver: Some(DriverData {
                name: "overlayfs".to_owned(),
                data: HashMap::from([("Machine".to_owned(), format!("linux/{}", record.architecture))]),
            }),
            storage: None,
            size_rw: None,
            size_root_fs: None,
            mounts: Some(mounts::points(&record, |name| self.volumes.place(name))),
            network_settings: Some(NetworkSettings {
                sandbox_id: Some(String::new()),
                sandbox_key: Some(String::new()),
                ports: Some(ports),
                networks: Some(container.endpoints(&self.networks, &record)),
            }),
            config: Some(record.config),
            host_config: Some(record.host_config),
        }
    }
}

impl Container {
    /// Its part of each of its networks.
    pub(super) fn endpoints(
        &self,
        networks: &Networks,
        record: &Record,
    ) -> HashMap<String, EndpointSettings> {
        let view = |(name, endpoint): (&String, &Endpoint)| {
            let id = networks.find(&endpoint.network).map(|network| network.id);
            let active = id.ok().and_then(|id| self.active_on(&id));
            (
                name.clone(),
                network::settings(networks, endpoint, active.as_ref()),
            )
        };
        record.networks.iter().map(view).collect()
    }
}

/// Where the log lies, of the driver whose files others may read.
fn log_path(container: &Container) -> String {
    let path = container.log.as_deref().and_then(LogFile::public_path);
    path.map_or_else(String::new, |path| path.display().to_string())
}

fn state(record: &Record, health: Option<Health>) -> ContainerState {
    let state = &record.state;
    ContainerState {
        status: Some(match state.phase {
            Phase::Created => ContainerStateStatusEnum::CREATED,
            Phase::Running => ContainerStateStatusEnum::RUNNING,
            Phase::Paused => ContainerStateStatusEnum::PAUSED,
            Phase::Restarting => ContainerStateStatusEnum::RESTARTING,
            Phase::Exited => ContainerStateStatusEnum::EXITED,
            Phase::Dead => ContainerStateStatusEnum::DEAD,
        }),
        running: Some(state.phase.is_active()),
        paused: Some(state.phase == Phase::Paused),
        restarting: Some(state.phase == Phase::Restarting),
        oom_killed: Some(state.oom_killed),
        dead: Some(state.phase == Phase::Dead),
        pid: Some(i64::from(state.pid)),
        exit_code: Some(state.exit_code),
        error: Some(state.error.clone()),
        started_at: Some(time::rfc3339_or_zero(state.started)),
        finished_at: Some(time::rfc3339_or_zero(state.finished)),
        health,
    }
}
