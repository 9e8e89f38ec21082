//! A container's place on its networks while it runs: addresses are taken when it starts, and given back when it ends.

use std::net::IpAddr;
use std::sync::Arc;

use protocol::{Attachment, Bridge, Network};

use super::endpoints::{Endpoint, Mode, refuse};
use super::tables::names_of;
use super::{Driver, NetworkRecord, rate};
use crate::container::Container;
use crate::engine::Inner;
use crate::error::{EngineError, Result};
use crate::machine::Guest;
use crate::names;
use crate::record::Record;

/// A running container's part of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Active {
    /// Of the endpoint, 64 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) interface: String,
    pub(crate) host_interface: String,
    pub(crate) v4: Option<IpAddr>,
    pub(crate) v6: Option<IpAddr>,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) gateways: Vec<IpAddr>,
}

/// A container's network as its guest makes it, and the lines that it adds to /etc/hosts.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) network: Network,
    pub(crate) hosts: Vec<(IpAddr, Vec<String>)>,
    /// Whether 127.0.0.11 answers.
    pub(crate) resolver: bool,
    /// What `host-gateway` stands for in `--add-host`: the gateway of the default network, as in Docker.
    pub(crate) host_gateway: Vec<IpAddr>,
}

impl Inner {
    /// The running containers on a network.
    pub(crate) fn active_on(&self, network: &str) -> Vec<(Arc<Container>, Active)> {
        let containers = self.registry.all().into_iter();
        containers
            .filter_map(|container| {
                let active = container.active_on(network)?;
                Some((container, active))
            })
            .collect()
    }

    /// Takes addresses for a container that is about to start, and tells the guest the names.
    pub(crate) fn wire(&self, container: &Container, record: &Record, guest: &Guest) -> Result<Wiring> {
        let mut wiring = Wiring {
            network: Network::Machine,
            hosts: Vec::new(),
            resolver: false,
            host_gateway: self
                .networks
                .find("bridge")?
                .pools
                .iter()
                .map(|pool| pool.gateway)
                .collect(),
        };
        match Mode::of(record.host_config.network_mode.as_deref()) {
            Mode::Container(other) => {
                let other = self.running(&other, "network")?;
                let theirs = other.record();
                wiring.network = Network::Container(other.id.clone());
                wiring.resolver = self.tables_of(&other, &theirs).is_some();
                wiring.hosts = other
                    .addresses()
                    .into_iter()
                    .map(|address| (address, vec![theirs.config.hostname.clone().unwrap_or_default()]))
                    .collect();
                return Ok(wiring);
            }
            Mode::Named(name) if name == "host" => return Ok(wiring),
            Mode::Named(_) => {}
        }
        if record.config.network_disabled.unwrap_or(false) {
            wiring.network = Network::default();
            return Ok(wiring);
        }
        match self.attach_all(container, record, guest) {
            Ok((attachments, tables, hosts)) => {
                wiring.resolver = tables.is_some();
                wiring.hosts = hosts;
                wiring.network = Network::Own { attachments, tables };
                Ok(wiring)
            }
            Err(error) => {
                self.unwire(container, Some(guest));
                Err(error)
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "the parts of one wiring")]
    fn attach_all(
        &self,
        container: &Container,
        record: &Record,
        guest: &Guest,
    ) -> Result<(Vec<Attachment>, Option<Vec<String>>, Vec<(IpAddr, Vec<String>)>)> {
        let mode = record.host_config.network_mode.clone().unwrap_or_default();
        let mut endpoints: Vec<&Endpoint> = record.networks.values().collect();
        // The network of `--network` is eth0.
        endpoints.sort_by_key(|endpoint| (endpoint.network != mode, endpoint.network.clone()));
        let mut attachments = Vec::new();
        let mut hosts = Vec::new();
        for endpoint in endpoints {
            let network = self.networks.find(&endpoint.network)?;
            // One that was named twice, by its name and by its ID, is one.
            if network.driver != Driver::Bridge || container.active_on(&network.id).is_some() {
                continue;
            }
            let attachment = self.activate(container, record, endpoint, &network)?;
            for (address, _) in &attachment.addresses {
                let mut names = vec![record.config.hostname.clone().unwrap_or_default()];
                if let Some(domain) = record
                    .config
                    .domainname
                    .as_deref()
                    .filter(|domain| !domain.is_empty())
                {
                    names.insert(
                        0,
                        format!(
                            "{}.{domain}",
                            record.config.hostname.as_deref().unwrap_or_default()
                        ),
                    );
                }
                hosts.push((*address, names));
            }
            if network.name == "bridge" {
                hosts.extend(self.linked_hosts(endpoint)?);
            }
            attachments.push(attachment);
        }
        let tables = self.tables_of(container, record);
        for attachment in &attachments {
            self.tell_names(&attachment.network, guest);
        }
        if tables.is_some() {
            self.tell_links(container, record, guest);
        }
        Ok((attachments, tables, hosts))
    }

    /// Takes addresses on one network.
    pub(super) fn activate(
        &self,
        container: &Container,
        record: &Record,
        endpoint: &Endpoint,
        network: &NetworkRecord,
    ) -> Result<Attachment> {
        let rate = rate::of(&record.config)?;
        let mut active = Active {
            id: names::new_id()?,
            interface: container.free_interface(),
            host_interface: format!("veth{}", names::new_id()?.get(..7).unwrap_or_default()),
            ..Active::default()
        };
        for pool in &network.pools {
            let v6 = pool.subnet.addr().is_ipv6();
            let wanted = if v6 { endpoint.v6 } else { endpoint.v4 };
            let held = if v6 { active.v6 } else { active.v4 };
            let elsewhere = wanted.is_some_and(|wanted| !pool.subnet.contains(&wanted));
            if held.is_some()
                || (elsewhere
                    && network
                        .pools
                        .iter()
                        .any(|pool| wanted.is_some_and(|wanted| pool.subnet.contains(&wanted))))
            {
                continue;
            }
            if wanted.is_some() && !pool.chosen {
                container.set_active(&network.id, Some(active));
                return refuse(
                    "user specified IP address is supported only when connecting to networks with user configured subnets",
                );
            }
            let leased = match self.networks.lease(&network.id, pool, wanted) {
                Ok(leased) => leased,
                Err(error) => {
                    container.set_active(&network.id, Some(active));
                    return Err(error);
                }
            };
            if v6 {
                active.v6 = Some(leased);
            } else {
                active.v4 = Some(leased);
            }
            if !network.internal {
                active.gateways.push(pool.gateway);
            }
        }
        // Of the address where there is one: who knew the container before it was restarted finds it again.
        let mac = match (endpoint.mac, active.v4) {
            (Some(mac), _) => mac,
            (None, Some(IpAddr::V4(address))) => {
                let [a, b, c, d] = address.octets();
                [0x02, 0x42, a, b, c, d]
            }
            (None, _) => {
                let mut mac: [u8; 6] = names::random()?;
                // Of this place's own making, and for one receiver (IEEE 802).
                mac[0] = (mac[0] & 0xfc) | 2;
                mac
            }
        };
        active.mac = Some(mac);
        let prefix = |address: IpAddr| {
            let pool = network.pools.iter().find(|pool| pool.subnet.contains(&address));
            (address, pool.map_or(0, |pool| pool.subnet.prefix_len()))
        };
        let attachment = Attachment {
            network: network.id.clone(),
            bridge: Bridge {
                name: network.bridge(),
                addresses: network
                    .pools
                    .iter()
                    .map(|pool| (pool.gateway, pool.subnet.prefix_len()))
                    .collect(),
                mtu: network.mtu(),
            },
            interface: active.interface.clone(),
            host_interface: active.host_interface.clone(),
            mac,
            addresses: [active.v4, active.v6].into_iter().flatten().map(prefix).collect(),
            gateways: active.gateways.clone(),
            priority: route_priority(endpoint.priority, &active.interface),
            rate,
        };
        container.set_active(&network.id, Some(active));
        // It may have been removed since it was found; from here on it is not.
        if self.networks.get(&network.id).is_none() {
            return Err(EngineError::NotFound(format!(
                "network {} not found",
                network.name
            )));
        }
        let names = names_of(record, &endpoint.aliases);
        container.name_endpoint(&endpoint.network, names);
        self.network_event(
            network,
            "connect",
            [("container".to_owned(), container.id.clone())],
        );
        Ok(attachment)
    }

    /// Gives everything back that a container had on its networks, and tells who is left.
    pub(crate) fn unwire(&self, container: &Container, guest: Option<&Guest>) {
        for (network, active) in container.take_active() {
            for address in [active.v4, active.v6].into_iter().flatten() {
                self.networks.release(&network, address);
            }
            if let Some(record) = self.networks.get(&network) {
                self.network_event(
                    &record,
                    "disconnect",
                    [("container".to_owned(), container.id.clone())],
                );
            }
            if let Some(guest) = guest {
                self.tell_names(&network, guest);
            }
        }
    }

    /// A container that another one wants to share a namespace with.
    pub(crate) fn running(&self, name: &str, what: &str) -> Result<Arc<Container>> {
        let container = self.registry.find(name)?;
        if container.with_record(|record| record.state.phase.is_running()) {
            return Ok(container);
        }
        Err(EngineError::Conflict(format!(
            "cannot join {what} of a non running container: {}",
            container.id
        )))
    }
}

/// Linux takes the route of the lowest number, Docker that of the highest; of equal ones the first interface's.
fn route_priority(priority: i64, interface: &str) -> u32 {
    let number: u32 = interface.trim_start_matches("eth").parse().unwrap_or(0);
    let base = 1_000_000i64.saturating_sub(priority.clamp(-900_000, 900_000));
    u32::try_from(base).unwrap_or(0).saturating_add(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_highest_priority_has_the_lowest_route() {
        assert!(route_priority(10, "eth1") < route_priority(0, "eth0"));
        assert!(route_priority(0, "eth0") < route_priority(0, "eth1"));
    }
}
