//! `docker network connect` and `disconnect` (moby `daemon/container_operations.go`): a container that may run gets one
//! more place on a network, or loses one.

use bollard_stubs::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use protocol::Request;

use super::endpoints::{Endpoint, Mode, endpoint};
use super::{Driver, NetworkRecord};
use crate::container::{Container, resolv_conf};
use crate::engine::Inner;
use crate::error::{EngineError, Result};

impl Inner {
    pub(super) async fn connect(&self, name: &str, request: NetworkConnectRequest) -> Result<()> {
        let network = self.networks.find(name)?;
        let container = self.registry.find(&request.container)?;
        let settings = request.endpoint_config.unwrap_or_default();
        let endpoint = endpoint(&network.name, &settings)?;
        let _transition = container.transition.lock().await;
        let record = container.record();
        match network.driver {
            Driver::Host => {
                return Err(EngineError::Forbidden(
                    "container cannot be connected to host network: it would have to be created there"
                        .to_owned(),
                ));
            }
            Driver::Null => {
                return Err(EngineError::Forbidden(
                    "container cannot be connected to multiple networks with one of the networks in private (none) mode"
                        .to_owned(),
                ));
            }
            Driver::Bridge => {}
        }
        match Mode::of(record.host_config.network_mode.as_deref()) {
            Mode::Container(_) => {
                return Err(EngineError::Conflict(
                    "container sharing network namespace with another container or host cannot be connected to any other \
                     network"
                        .to_owned(),
                ));
            }
            Mode::Named(mode) if mode == "host" => {
                return Err(EngineError::Conflict(
                    "container sharing network namespace with another container or host cannot be connected to any other \
                     network"
                        .to_owned(),
                ));
            }
            Mode::Named(_) => {}
        }
        let is_on = |endpoint: &Endpoint| {
            self.networks
                .find(&endpoint.network)
                .is_ok_and(|found| found.id == network.id)
        };
        if record.networks.values().any(is_on) {
            let name = &record.name;
            return Err(EngineError::Forbidden(format!(
                "endpoint with name {name} already exists in network {}",
                network.name
            )));
        }
        self.commit(&container, |record| {
            record.networks.remove("none");
            record.networks.insert(network.name.clone(), endpoint.clone());
        })
        .await?;
        let record = container.record();
        let Some(guest) = container.guest() else {
            self.network_event(
                &network,
                "connect",
                [("container".to_owned(), container.id.clone())],
            );
            return Ok(());
        };
        let connected = match self.activate(&container, &record, &endpoint, &network) {
            Ok(attachment) => {
                self.tell_names(&network.id, &guest);
                let request = Request::Connect {
                    container: container.id.clone(),
                    attachment: Box::new(attachment),
                    tables: self.tables_of(&container, &record),
                    resolv_conf: Some(resolv_conf(&record.host_config, true)),
                };
                guest
                    .request(request)
                    .await
                    .map(drop)
                    .map_err(|error| container.request_error(error))
            }
            Err(error) => Err(error),
        };
        if connected.is_err() {
            self.release_one(&container, &network);
            self.commit(&container, |record| drop(record.networks.remove(&network.name)))
                .await?;
        }
        connected
    }

    pub(super) async fn disconnect(&self, name: &str, request: NetworkDisconnectRequest) -> Result<()> {
        let network = self.networks.find(name)?;
        let container = self.registry.find(&request.container)?;
        let _transition = container.transition.lock().await;
        let record = container.record();
        let key = record
            .networks
            .iter()
            .find(|(_, endpoint)| {
                self.networks
                    .find(&endpoint.network)
                    .is_ok_and(|found| found.id == network.id)
            })
            .map(|(key, _)| key.clone());
        let Some(key) = key else {
            return Err(EngineError::Forbidden(format!(
                "container {} is not connected to network {}",
                container.id, network.name
            )));
        };
        if network.driver == Driver::Host {
            return Err(EngineError::Forbidden(
                "container cannot be disconnected from host network or connected to host network".to_owned(),
            ));
        }
        let mut left = record;
        left.networks.remove(&key);
        let guest = container.guest();
        if let (Some(guest), Some(active)) = (&guest, container.active_on(&network.id)) {
            let request = Request::Disconnect {
                container: container.id.clone(),
                host_interface: active.host_interface,
                tables: Some(self.tables_of(&container, &left).unwrap_or_default()),
            };
            guest
                .request(request)
                .await
                .map_err(|error| container.request_error(error))?;
        }
        // Nobody else gets the address while an interface still has it.
        self.release_one(&container, &network);
        if let Some(guest) = &guest {
            self.tell_names(&network.id, guest);
        }
        self.commit(&container, |record| drop(record.networks.remove(&key)))
            .await
    }

    /// Gives back what a container had on a network, if it had anything there.
    fn release_one(&self, container: &Container, network: &NetworkRecord) {
        let Some(active) = container.set_active(&network.id, None) else {
            return;
        };
        for address in [active.v4, active.v6].into_iter().flatten() {
            self.networks.release(&network.id, address);
        }
        self.network_event(
            network,
            "disconnect",
            [("container".to_owned(), container.id.clone())],
        );
    }
}
