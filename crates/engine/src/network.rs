//! Networks between containers (moby `daemon/network.go`, `libnetwork`): `bridge`, `host` and `none` from the start,
//! and those that the user makes. A network is a bridge in each machine that has a container on it; containers of
//! different machines do not reach each other.

mod attach;
mod connect;
mod endpoints;
mod ipam;
mod rate;
mod tables;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Mutex;

use bollard_stubs::models::{
    EventMessageTypeEnum, NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse,
    NetworkDisconnectRequest, NetworkInspect, NetworkPruneResponse,
};
use protocol::Request;
use serde::{Deserialize, Serialize};

pub(crate) use attach::{Active, Wiring};
pub(crate) use endpoints::{Endpoint, resolve as resolve_endpoints};
pub(crate) use ipam::Pool;
pub(crate) use rate::check as check_rate;
pub(crate) use view::settings;

use crate::container::until_time;
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::filters::Filters;
use crate::lock::LockExt;
use crate::names;
use crate::state::{State, Stored, Table};
use crate::time;

/// The names of the networks that are always there, with their drivers.
const PREDEFINED: [(&str, Driver); 3] = [
    ("bridge", Driver::Bridge),
    ("host", Driver::Host),
    ("none", Driver::Null),
];
const MTU: u32 = 1500;
const MTU_OPTION: &str = "com.docker.network.driver.mtu";

/// What carries a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Driver {
    Bridge,
    Host,
    Null,
}

impl Driver {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// A network's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) driver: Driver,
    /// Whether it has no way out.
    pub(crate) internal: bool,
    pub(crate) attachable: bool,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    pub(crate) pools: Vec<Pool>,
    pub(crate) options: HashMap<String, String>,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) ipam_options: HashMap<String, String>,
}

impl Stored for NetworkRecord {
    const TABLE: Table = Table::new("networks");
    const WHAT: &'static str = "network";

    fn key(&self) -> &str {
        &self.id
    }
}

impl NetworkRecord {
    /// Whether it is always there.
    pub(crate) fn is_predefined(&self) -> bool {
        PREDEFINED.iter().any(|(name, _)| *name == self.name)
    }

    /// The bridge's name in the guest.
    pub(crate) fn bridge(&self) -> String {
        format!("br-{}", names::short(&self.id))
    }

    pub(crate) fn mtu(&self) -> u32 {
        self.options
            .get(MTU_OPTION)
            .and_then(|mtu| mtu.parse().ok())
            .unwrap_or(MTU)
    }
}

/// Every network, by ID, and the addresses that are in use.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    tables: Mutex<Tables>,
    /// Held from the look at what a network is to the change of it.
    pub(crate) transition: tokio::sync::Mutex<()>,
    /// Held from the look at the names on a network to their way to the guest.
    pub(crate) telling: Mutex<()>,
}

#[derive(Debug, Default)]
struct Tables {
    networks: BTreeMap<String, NetworkRecord>,
    leases: HashMap<String, BTreeSet<IpAddr>>,
}

impl Networks {
    /// Takes the records in, and makes the networks that are always there where they are not yet.
    pub(crate) fn open(records: Vec<NetworkRecord>, state: &State) -> Result<Self> {
        let mut networks: BTreeMap<_, _> = records
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        for (name, driver) in PREDEFINED {
            if networks.values().any(|record| record.name == name) {
                continue;
            }
            let record = predefined(name, driver)?;
            state.put_soon(&record)?;
            networks.insert(record.id.clone(), record);
        }
        Ok(Self {
            tables: Mutex::new(Tables {
                networks,
                leases: HashMap::new(),
            }),
            transition: tokio::sync::Mutex::default(),
            telling: Mutex::default(),
        })
    }

    /// The network that the user means: by name, by ID, or by the start of an ID.
    pub(crate) fn find(&self, wanted: &str) -> Result<NetworkRecord> {
        let tables = self.tables.locked();
        if let Some(record) = tables.networks.values().find(|record| record.name == wanted) {
            return Ok(record.clone());
        }
        if let Some(record) = tables.networks.get(wanted) {
            return Ok(record.clone());
        }
        let mut matching = tables
            .networks
            .values()
            .filter(|record| record.id.starts_with(wanted));
        match (matching.next(), matching.next()) {
            (Some(record), None) if !wanted.is_empty() => Ok(record.clone()),
            (Some(_), Some(_)) if !wanted.is_empty() => Err(EngineError::BadRequest(format!(
                "network {wanted} is ambiguous (several matches found based on ID prefix)"
            ))),
            _ => Err(EngineError::NotFound(format!("network {wanted} not found"))),
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<NetworkRecord> {
        self.tables.locked().networks.get(id).cloned()
    }

    /// Names and IDs.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let tables = self.tables.locked();
        tables
            .networks
            .values()
            .map(|record| (record.name.clone(), record.id.clone()))
            .collect()
    }

    fn all(&self) -> Vec<NetworkRecord> {
        self.tables.locked().networks.values().cloned().collect()
    }

    fn insert(&self, record: NetworkRecord) {
        self.tables.locked().networks.insert(record.id.clone(), record);
    }

    fn remove(&self, id: &str) {
        let mut tables = self.tables.locked();
        tables.networks.remove(id);
    }

    /// Takes an address of a pool for a container.
    pub(crate) fn lease(&self, network: &str, pool: &Pool, wanted: Option<IpAddr>) -> Result<IpAddr> {
        let mut tables = self.tables.locked();
        let leased = tables.leases.entry(network.to_owned()).or_default();
        let address = pool.lease(wanted, leased)?;
        leased.insert(address);
        Ok(address)
    }

    /// Gives an address back.
    pub(crate) fn release(&self, network: &str, address: IpAddr) {
        let mut tables = self.tables.locked();
        if let Some(leased) = tables.leases.get_mut(network) {
            leased.remove(&address);
            if leased.is_empty() {
                tables.leases.remove(network);
            }
        }
    }
}

fn predefined(name: &str, driver: Driver) -> Result<NetworkRecord> {
    let mut options = HashMap::new();
    let mut pools = Vec::new();
    if driver == Driver::Bridge {
        for (option, value) in [
            ("com.docker.network.bridge.default_bridge", "true"),
            ("com.docker.network.bridge.enable_icc", "true"),
            ("com.docker.network.bridge.enable_ip_masquerade", "true"),
            ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
            ("com.docker.network.bridge.name", "docker0"),
            (MTU_OPTION, "1500"),
        ] {
            options.insert(option.to_owned(), value.to_owned());
        }
        pools = ipam::pools(None, true, false, &[], [0; 5])?;
    }
    Ok(NetworkRecord {
        id: names::new_id()?,
        name: name.to_owned(),
        created: time::now(),
        driver,
        internal: false,
        attachable: false,
        v4: true,
        v6: false,
        pools,
        options,
        labels: HashMap::new(),
        ipam_options: HashMap::new(),
    })
}

/// Docker's rule for the names of networks.
fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(EngineError::BadRequest(
            "invalid network name: name is empty".to_owned(),
        ));
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
    let good = name.len() <= 255
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(plain);
    if good {
        return Ok(());
    }
    Err(EngineError::BadRequest(format!(
        "invalid network name: {name}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

impl Engine {
    /// Makes a network. Returns once its record is on disk.
    pub async fn create_network(&self, request: NetworkCreateRequest) -> Result<NetworkCreateResponse> {
        check_name(&request.name)?;
        let inner = self.inner.clone();
        self.complete(async move { inner.create_network(request).await })
            .await
    }

    /// The networks that match the filters, by name.
    pub async fn list_networks(&self, filters: &Filters) -> Result<Vec<NetworkInspect>> {
        filters.only(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
        let dangling = filters.truth("dangling")?;
        if let Some(odd) = filters
            .values("type")
            .iter()
            .find(|kind| !matches!(kind.as_str(), "builtin" | "custom"))
        {
            return Err(EngineError::BadRequest(format!("invalid filter: 'type'='{odd}'")));
        }
        let mut networks = self.inner.networks.all();
        networks.sort_by(|first, second| first.name.cmp(&second.name));
        let wanted = networks.iter().filter(|record| {
            let kind = if record.is_predefined() {
                "builtin"
            } else {
                "custom"
            };
            let unused = || !record.is_predefined() && self.inner.active_on(&record.id).is_empty();
            filters.any("name", |name| record.name.contains(name))
                && filters.any("id", |id| record.id.contains(id))
                && filters.any("driver", |driver| driver == record.driver.name())
                && filters.any("scope", |scope| scope == "local")
                && filters.any("type", |wanted| wanted == kind)
                && filters.labels_match("label", |key| record.labels.get(key).map(String::as_str))
                && dangling.is_none_or(|dangling| unused() == dangling)
        });
        Ok(wanted
            .map(|record| self.inner.network_view(record, false))
            .collect())
    }

    /// What a network is, and who is on it.
    pub async fn inspect_network(&self, name: &str) -> Result<NetworkInspect> {
        let record = self.inner.networks.find(name)?;
        Ok(self.inner.network_view(&record, true))
    }

    /// Removes a network that no running container is on.
    pub async fn remove_network(&self, name: &str) -> Result<()> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        self.complete(async move {
            let _transition = inner.networks.transition.lock().await;
            let record = inner.networks.find(&name)?;
            if record.is_predefined() {
                return Err(EngineError::Forbidden(format!(
                    "{} is a pre-defined network and cannot be removed",
                    record.name
                )));
            }
            let active = inner.active_on(&record.id);
            if !active.is_empty() {
                let users: Vec<String> = active
                    .iter()
                    .map(|(container, _)| {
                        let name = container.with_record(|record| record.name.clone());
                        format!("name:\"{name}\" id:\"{}\"", names::short(&container.id))
                    })
                    .collect();
                return Err(EngineError::Forbidden(format!(
                    "error while removing network: network {} has active endpoints ({})",
                    record.name,
                    users.join(", ")
                )));
            }
            inner.forget_network(&record).await
        })
        .await
    }

    /// Removes the networks that the user made and no running container is on.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<NetworkPruneResponse> {
        filters.only(&["until", "label", "label!"])?;
        let until = filters
            .values("until")
            .first()
            .map(|text| until_time(text))
            .transpose()?;
        let (inner, filters) = (self.inner.clone(), filters.clone());
        self.complete(async move {
            let _transition = inner.networks.transition.lock().await;
            let mut deleted = Vec::new();
            for record in inner.networks.all() {
                let label = |key: &str| record.labels.get(key).map(String::as_str);
                let chosen = !record.is_predefined()
                    && until.is_none_or(|until| record.created < until)
                    && filters.labels_match("label", label)
                    && (!filters.has("label!") || !filters.labels_match("label!", label));
                if chosen && inner.active_on(&record.id).is_empty() {
                    inner.forget_network(&record).await?;
                    deleted.push(record.name);
                }
            }
            inner.events.publish(
                EventMessageTypeEnum::NETWORK,
                "prune",
                "",
                HashMap::from([("reclaimed".to_owned(), "0".to_owned())]),
            );
            Ok(NetworkPruneResponse {
                networks_deleted: Some(deleted),
            })
        })
        .await
    }

    /// Puts a container on a network: at once if it runs, and whenever it starts.
    pub async fn connect_network(&self, network: &str, request: NetworkConnectRequest) -> Result<()> {
        let (inner, network) = (self.inner.clone(), network.to_owned());
        self.complete(async move { inner.connect(&network, request).await })
            .await
    }

    /// Takes a container off a network.
    pub async fn disconnect_network(&self, network: &str, request: NetworkDisconnectRequest) -> Result<()> {
        let (inner, network) = (self.inner.clone(), network.to_owned());
        self.complete(async move { inner.disconnect(&network, request).await })
            .await
    }
}

impl Inner {
    async fn create_network(&self, request: NetworkCreateRequest) -> Result<NetworkCreateResponse> {
        if request.config_only.unwrap_or(false) || request.config_from.is_some() {
            return Err(EngineError::Unsupported(
                "networks of configurations (--config-only)".to_owned(),
            ));
        }
        if request.ingress.unwrap_or(false) || request.scope.as_deref() == Some("swarm") {
            return Err(EngineError::Conflict(
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
                 node to swarm and try again."
                    .to_owned(),
            ));
        }
        match request.driver.as_deref() {
            None | Some("" | "bridge" | "default") => {}
            Some(driver @ ("host" | "null")) => {
                return Err(EngineError::Forbidden(format!(
                    "only one instance of \"{driver}\" network is allowed"
                )));
            }
            Some(driver @ ("macvlan" | "ipvlan" | "overlay")) => {
                return Err(EngineError::Unsupported(format!(
                    "networks of the driver {driver} (there are networks of the driver bridge, the default, and the networks \
                     host and none)"
                )));
            }
            Some(driver) => {
                return Err(EngineError::NotFound(format!("plugin \"{driver}\" not found")));
            }
        }
        let _transition = self.networks.transition.lock().await;
        let networks = self.networks.all();
        if networks.iter().any(|record| record.name == request.name) {
            return Err(EngineError::Conflict(format!(
                "network with name {} already exists",
                request.name
            )));
        }
        let taken: Vec<_> = networks
            .iter()
            .flat_map(|record| record.pools.iter().map(|pool| pool.subnet))
            .collect();
        let (v4, v6) = (
            request.enable_ipv4.unwrap_or(true),
            request.enable_ipv6.unwrap_or(false),
        );
        let pools = ipam::pools(request.ipam.as_ref(), v4, v6, &taken, names::random()?)?;
        let record = NetworkRecord {
            id: names::new_id()?,
            name: request.name,
            created: time::now(),
            driver: Driver::Bridge,
            internal: request.internal.unwrap_or(false),
            attachable: request.attachable.unwrap_or(false),
            v4,
            v6,
            pools,
            options: request.options.unwrap_or_default(),
            labels: request.labels.unwrap_or_default(),
            ipam_options: request.ipam.and_then(|ipam| ipam.options).unwrap_or_default(),
        };
        self.state.put(&record)?.on_disk().await?;
        self.networks.insert(record.clone());
        self.network_event(&record, "create", []);
        Ok(NetworkCreateResponse {
            id: record.id,
            warning: String::new(),
        })
    }

    /// Takes a network out of the records and the machines. The caller holds the networks' transition lock, and has
    /// seen that nothing is on the network; a container that comes onto it just now keeps it.
    async fn forget_network(&self, record: &NetworkRecord) -> Result<()> {
        self.networks.remove(&record.id);
        let forgotten = if self.active_on(&record.id).is_empty() {
            match self.state.delete::<NetworkRecord>(&record.id) {
                Ok(commit) => commit.on_disk().await,
                Err(error) => Err(error),
            }
        } else {
            Err(EngineError::Forbidden(format!(
                "error while removing network: network {} has active endpoints",
                record.name
            )))
        };
        if let Err(error) = forgotten {
            self.networks.insert(record.clone());
            return Err(error);
        }
        // A machine that does not run has no bridges.
        for guest in self
            .machines()
            .into_iter()
            .filter_map(|machine| machine.running())
        {
            guest.tell(Request::RemoveNetwork {
                network: record.id.clone(),
                bridge: record.bridge(),
            });
        }
        self.network_event(record, "destroy", []);
        Ok(())
    }

    pub(crate) fn network_event(
        &self,
        record: &NetworkRecord,
        action: &str,
        more: impl IntoIterator<Item = (String, String)>,
    ) {
        let mut attributes = HashMap::from([
            ("name".to_owned(), record.name.clone()),
            ("type".to_owned(), record.driver.name().to_owned()),
        ]);
        attributes.extend(more);
        self.events.publish(
            EventMessageTypeEnum::NETWORK,
            action,
            record.id.clone(),
            attributes,
        );
    }
}
