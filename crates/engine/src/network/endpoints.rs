//! A container's place on its networks: what was asked for at its creation, and what it has while it runs.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bollard_stubs::models::{
    ContainerCreateBody, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};
use protocol::{Attachment, Bridge, Network, Request};
use serde::{Deserialize, Serialize};

use super::{Driver, NetworkRecord};
use crate::container::Container;
use crate::engine::Inner;
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::machine::Guest;
use crate::names;
use crate::record::Record;

/// A container's part of a network, whether it runs or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// The network as it was named: a name or an ID.
    pub(crate) network: String,
    /// Addresses that were asked for.
    pub(crate) v4: Option<IpAddr>,
    pub(crate) v6: Option<IpAddr>,
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) aliases: Vec<String>,
    /// `container:alias` each.
    pub(crate) links: Vec<String>,
    pub(crate) driver_options: Option<HashMap<String, String>>,
    /// Of several networks the one of the highest number has the default route.
    pub(crate) priority: i64,
    /// Every name that it has on the network.
    #[serde(default)]
    pub(crate) names: Vec<String>,
}

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

/// `--network`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A network of this name, which may be `host` or `none`.
    Named(String),
    /// Another container's.
    Container(String),
}

impl Mode {
    /// The mode of a host configuration.
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text {
            None | Some("" | "default") => Self::Named("bridge".to_owned()),
            Some(text) => match text.strip_prefix("container:") {
                Some(container) => Self::Container(container.to_owned()),
                None => Self::Named(text.to_owned()),
            },
        }
    }
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(EngineError::BadRequest(text.into()))
}

/// The networks of a create request, by the names that the user gave them. `links` are `--link`.
pub(crate) fn resolve(body: &ContainerCreateBody) -> Result<BTreeMap<String, Endpoint>> {
    let host = body.host_config.as_ref();
    let mode = Mode::of(host.and_then(|host| host.network_mode.as_deref()));
    let links = host.and_then(|host| host.links.clone()).unwrap_or_default();
    let asked = body
        .networking_config
        .as_ref()
        .and_then(|config| config.endpoints_config.clone())
        .unwrap_or_default();
    let Mode::Named(primary) = mode else {
        if !links.is_empty() {
            return refuse(
                "conflicting options: container type network can't be used with links. This would result in undefined behavior",
            );
        }
        return Ok(BTreeMap::new());
    };
    let mut endpoints = BTreeMap::new();
    for (name, settings) in asked {
        // What the client calls the default is what the mode says.
        let name = if name == "default" { primary.clone() } else { name };
        let endpoint = endpoint(&name, &settings)?;
        endpoints.insert(name, endpoint);
    }
    let own = endpoints.entry(primary.clone()).or_insert_with(|| Endpoint {
        network: primary.clone(),
        ..Endpoint::default()
    });
    own.links.extend(links);
    if matches!(primary.as_str(), "host" | "none") && endpoints.len() > 1 {
        return refuse(format!(
            "conflicting options: a container of the network {primary} cannot be on others"
        ));
    }
    if primary == "host" && endpoints.values().any(|endpoint| !endpoint.links.is_empty()) {
        return refuse(
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    Ok(endpoints)
}

fn endpoint(name: &str, settings: &EndpointSettings) -> Result<Endpoint> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let address = |text: Option<String>, v6: bool| match text {
        None => Ok(None),
        Some(text) => match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv6() == v6 => Ok(Some(address)),
            _ => refuse(format!("invalid IPv{} address: {text}", if v6 { 6 } else { 4 })),
        },
    };
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let (v4, v6) = (
        address(given(&ipam.ipv4_address), false)?,
        address(given(&ipam.ipv6_address), true)?,
    );
    let aliases = settings.aliases.clone().unwrap_or_default();
    if matches!(name, "bridge" | "host" | "none") {
        if v4.is_some() || v6.is_some() {
            return refuse("user specified IP address is supported on user defined networks only");
        }
        if !aliases.is_empty() {
            return refuse("network-scoped alias is supported only for containers in user defined networks");
        }
    }
    for alias in &aliases {
        check_name(alias)?;
    }
    let mac = match given(&settings.mac_address) {
        None => None,
        Some(text) => Some(
            parse_mac(&text)
                .ok_or_else(|| EngineError::BadRequest(format!("invalid MAC address: {text}")))?,
        ),
    };
    Ok(Endpoint {
        network: name.to_owned(),
        v4,
        v6,
        mac,
        aliases,
        links: settings.links.clone().unwrap_or_default(),
        driver_options: settings.driver_opts.clone(),
        priority: settings.gw_priority.unwrap_or(0),
        names: Vec::new(),
    })
}

/// Names become words of a table in the guest.
fn check_name(name: &str) -> Result<()> {
    if name.is_empty()
        || name.len() > 253
        || name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    {
        return refuse(format!("invalid network alias: {name:?}"));
    }
    Ok(())
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<u8> = text
        .split([':', '-'])
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

pub(crate) fn mac_text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Every name of a container on a user's network: its own, its aliases, the start of its ID, its host name.
fn names_of(record: &Record, aliases: &[String]) -> Vec<String> {
    let mut names = vec![record.name.clone()];
    let hostname = record.config.hostname.clone().unwrap_or_default();
    for name in aliases
        .iter()
        .cloned()
        .chain([names::short(&record.id).to_owned(), hostname])
    {
        if !name.is_empty() && !name.contains(char::is_whitespace) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A container's network as its guest makes it, and the lines that it adds to /etc/hosts.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) network: Network,
    pub(crate) hosts: Vec<(IpAddr, Vec<String>)>,
    /// Whether 127.0.0.11 answers.
    pub(crate) resolver: bool,
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

    /// The tables of a container's resolver: its own, then those of the networks that the user made. Without any of
    /// those there is no resolver.
    fn tables_of(&self, container: &Container, record: &Record) -> Option<Vec<String>> {
        let networks: Vec<String> = record
            .networks
            .values()
            .filter_map(|endpoint| self.networks.find(&endpoint.network).ok())
            .filter(|network| !network.is_predefined())
            .map(|network| network.id)
            .collect();
        (!networks.is_empty()).then(|| [container.id.clone()].into_iter().chain(networks).collect())
    }

    /// Takes addresses on one network.
    fn activate(
        &self,
        container: &Container,
        record: &Record,
        endpoint: &Endpoint,
        network: &NetworkRecord,
    ) -> Result<Attachment> {
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

    /// Tells the guest every name on a network, of the containers that run there.
    fn tell_names(&self, network: &str, guest: &Guest) {
        let Some(record) = self
            .networks
            .get(network)
            .filter(|record| !record.is_predefined())
        else {
            return;
        };
        // What is told last is the truth: nobody looks while another one tells.
        let _telling = self.networks.telling.locked();
        let mut names: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for (container, active) in self.active_on(network) {
            let known = container.with_record(|own| {
                let endpoint = own
                    .networks
                    .values()
                    .find(|endpoint| endpoint.network == record.name || endpoint.network == record.id);
                (own.architecture == guest.architecture)
                    .then(|| names_of(own, endpoint.map_or(&[], |endpoint| endpoint.aliases.as_slice())))
            });
            for name in known.into_iter().flatten() {
                for name in [name.clone(), format!("{name}.{}", record.name)] {
                    let addresses = names.entry(name.to_ascii_lowercase()).or_default();
                    addresses.extend([active.v4, active.v6].into_iter().flatten());
                }
            }
        }
        guest.tell(Request::SetNames {
            table: network.to_owned(),
            names: names.into_iter().collect(),
        });
        for (container, _) in self.active_on(network) {
            let record = container.record();
            if record
                .networks
                .values()
                .any(|endpoint| !endpoint.links.is_empty())
            {
                self.tell_links(&container, &record, guest);
            }
        }
    }

    /// Tells the guest the names that one container alone knows: its links on the networks that the user made.
    fn tell_links(&self, container: &Container, record: &Record, guest: &Guest) {
        let mut names = Vec::new();
        for endpoint in record.networks.values() {
            let Ok(network) = self.networks.find(&endpoint.network) else {
                continue;
            };
            for link in &endpoint.links {
                let (target, alias) = split_link(link);
                let found = self.registry.find(target).ok();
                let active = found.and_then(|target| target.active_on(&network.id));
                if let Some(active) = active {
                    names.push((
                        alias.to_ascii_lowercase(),
                        [active.v4, active.v6].into_iter().flatten().collect(),
                    ));
                }
            }
        }
        guest.tell(Request::SetNames {
            table: container.id.clone(),
            names,
        });
    }

    /// The lines for /etc/hosts of links on the default network, which has no resolver.
    fn linked_hosts(&self, endpoint: &Endpoint) -> Result<Vec<(IpAddr, Vec<String>)>> {
        let mut hosts = Vec::new();
        for link in &endpoint.links {
            let (target, alias) = split_link(link);
            let target = self.registry.find(target)?;
            let bridge = self.networks.find("bridge")?;
            let active = target.active_on(&bridge.id).ok_or_else(|| {
                let name = target.with_record(|record| record.name.clone());
                EngineError::Conflict(format!(
                    "Cannot link to a non running container: /{name} AS /{alias}"
                ))
            })?;
            let (name, short) =
                target.with_record(|record| (record.name.clone(), names::short(&record.id).to_owned()));
            let mut words = vec![alias.to_owned()];
            words.extend([short, name].into_iter().filter(|word| *word != alias));
            hosts.extend(
                [active.v4, active.v6]
                    .into_iter()
                    .flatten()
                    .map(|address| (address, words.clone())),
            );
        }
        Ok(hosts)
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
        self.commit(&container, |record| drop(record.networks.remove(&key)))
            .await?;
        let Some(active) = self.release_one(&container, &network) else {
            return Ok(());
        };
        if let Some(guest) = container.guest() {
            let request = Request::Disconnect {
                container: container.id.clone(),
                host_interface: active.host_interface,
                tables: Some(
                    self.tables_of(&container, &container.record())
                        .unwrap_or_default(),
                ),
            };
            guest
                .request(request)
                .await
                .map_err(|error| container.request_error(error))?;
            self.tell_names(&network.id, &guest);
        }
        Ok(())
    }

    fn release_one(&self, container: &Container, network: &NetworkRecord) -> Option<Active> {
        let active = container.set_active(&network.id, None)?;
        for address in [active.v4, active.v6].into_iter().flatten() {
            self.networks.release(&network.id, address);
        }
        self.network_event(
            network,
            "disconnect",
            [("container".to_owned(), container.id.clone())],
        );
        Some(active)
    }
}

/// Linux takes the route of the lowest number, Docker that of the highest; of equal ones the first interface's.
fn route_priority(priority: i64, interface: &str) -> u32 {
    let number: u32 = interface.trim_start_matches("eth").parse().unwrap_or(0);
    let base = 1_000_000i64.saturating_sub(priority.clamp(-900_000, 900_000));
    u32::try_from(base).unwrap_or(0).saturating_add(number)
}

fn split_link(link: &str) -> (&str, &str) {
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    (
        target.trim_start_matches('/'),
        alias.rsplit('/').next().unwrap_or(alias),
    )
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{EndpointIpamConfig, HostConfig, NetworkingConfig};

    use super::*;

    fn body(mode: Option<&str>, endpoints: &[(&str, EndpointSettings)]) -> ContainerCreateBody {
        ContainerCreateBody {
            host_config: Some(HostConfig {
                network_mode: mode.map(str::to_owned),
                ..HostConfig::default()
            }),
            networking_config: Some(NetworkingConfig {
                endpoints_config: Some(
                    endpoints
                        .iter()
                        .map(|(name, settings)| ((*name).to_owned(), settings.clone()))
                        .collect(),
                ),
            }),
            ..ContainerCreateBody::default()
        }
    }

    #[test]
    fn a_container_is_on_the_default_network_unless_it_asks_for_others() {
        let on = |mode| resolve(&body(mode, &[])).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(on(None), ["bridge"]);
        assert_eq!(on(Some("default")), ["bridge"]);
        assert_eq!(on(Some("web")), ["web"]);
        assert_eq!(on(Some("container:abc")), Vec::<String>::new());
    }

    #[test]
    fn settings_of_the_default_belong_to_the_network_of_the_mode() {
        let settings = EndpointSettings {
            aliases: Some(vec!["db".to_owned()]),
            ..EndpointSettings::default()
        };
        let endpoints = resolve(&body(Some("web"), &[("default", settings)])).unwrap();
        assert_eq!(endpoints["web"].aliases, ["db"]);
        assert_eq!(endpoints.len(), 1);
    }

    #[test]
    fn addresses_and_aliases_are_for_the_users_own_networks() {
        let address = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some("172.17.0.9".to_owned()),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        let error = resolve(&body(None, &[("bridge", address.clone())]))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "user specified IP address is supported on user defined networks only"
        );
        assert!(resolve(&body(Some("web"), &[("web", address)])).is_ok());
    }

    #[test]
    fn a_mac_address_has_six_parts() {
        assert_eq!(
            parse_mac("02:42:ac:11:00:02").map(|mac| mac_text(&mac)).unwrap(),
            "02:42:ac:11:00:02"
        );
        assert_eq!(parse_mac("02:42:ac:11:00"), None);
        assert_eq!(parse_mac("02:42:ac:11:00:2"), None);
    }

    #[test]
    fn the_network_of_the_highest_priority_has_the_lowest_route() {
        assert!(route_priority(10, "eth1") < route_priority(0, "eth0"));
        assert!(route_priority(0, "eth0") < route_priority(0, "eth1"));
    }
}
