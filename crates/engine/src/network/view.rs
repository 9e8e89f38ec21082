//! Networks as the API shows them.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard_stubs::models::{EndpointIpamConfig, EndpointResource, EndpointSettings, Ipam, NetworkInspect};

use super::attach::Active;
use super::endpoints::{Endpoint, mac_text};
use super::{NetworkRecord, Networks};
use crate::engine::Inner;
use crate::time;

fn with_prefix(record: &NetworkRecord, address: Option<IpAddr>) -> String {
    address.map_or_else(String::new, |address| {
        let prefix = record
            .pools
            .iter()
            .find(|pool| pool.subnet.contains(&address))
            .map_or(0, |pool| pool.subnet.prefix_len());
        format!("{address}/{prefix}")
    })
}

impl Inner {
    /// A network, with the running containers on it where asked.
    pub(super) fn network_view(&self, record: &NetworkRecord, with_containers: bool) -> NetworkInspect {
        let containers = with_containers.then(|| {
            let active = self.active_on(&record.id);
            let views = active.into_iter().map(|(container, active)| {
                let resource = EndpointResource {
                    name: Some(container.with_record(|record| record.name.clone())),
                    endpoint_id: Some(active.id.clone()),
                    mac_address: Some(active.mac.map(|mac| mac_text(&mac)).unwrap_or_default()),
                    ipv4_address: Some(with_prefix(record, active.v4)),
                    ipv6_address: Some(with_prefix(record, active.v6)),
                };
                (container.id.clone(), resource)
            });
            views.collect::<HashMap<_, _>>()
        });
        NetworkInspect {
            name: Some(record.name.clone()),
            id: Some(record.id.clone()),
            created: Some(time::rfc3339(record.created)),
            scope: Some("local".to_owned()),
            driver: Some(record.driver.name().to_owned()),
            enable_ipv4: Some(record.v4),
            enable_ipv6: Some(record.v6),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(record.pools.iter().map(super::Pool::view).collect()),
                options: Some(record.ipam_options.clone()),
            }),
            internal: Some(record.internal),
            attachable: Some(record.attachable),
            ingress: Some(false),
            config_from: Some(bollard_stubs::models::ConfigReference {
                network: Some(String::new()),
            }),
            config_only: Some(false),
            options: Some(record.options.clone()),
            labels: Some(record.labels.clone()),
            peers: None,
            containers: Some(containers.unwrap_or_default()),
            ..NetworkInspect::default()
        }
    }
}

/// A container's part of a network.
pub(crate) fn settings(
    networks: &Networks,
    endpoint: &Endpoint,
    active: Option<&Active>,
) -> EndpointSettings {
    let record = networks.find(&endpoint.network).ok();
    let address = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let prefix = |address: Option<IpAddr>| {
        let found = address.and_then(|address| {
            let pools = &record.as_ref()?.pools;
            pools.iter().find(|pool| pool.subnet.contains(&address))
        });
        found.map_or(0, |pool| i64::from(pool.subnet.prefix_len()))
    };
    let gateway = |v6: bool| {
        let found = active.and_then(|active| active.gateways.iter().find(|gateway| gateway.is_ipv6() == v6));
        found.map(|gateway| gateway.to_string()).unwrap_or_default()
    };
    let (v4, v6) = (
        active.and_then(|active| active.v4),
        active.and_then(|active| active.v6),
    );
    let asked = endpoint.v4.is_some() || endpoint.v6.is_some();
    EndpointSettings {
        ipam_config: asked.then(|| EndpointIpamConfig {
            ipv4_address: endpoint.v4.map(|address| address.to_string()),
            ipv6_address: endpoint.v6.map(|address| address.to_string()),
            link_local_ips: None,
        }),
        links: Some(endpoint.links.clone()).filter(|links| !links.is_empty()),
        mac_address: Some(
            active
                .and_then(|active| active.mac.map(|mac| mac_text(&mac)))
                .or_else(|| endpoint.mac.map(|mac| mac_text(&mac)))
                .unwrap_or_default(),
        ),
        aliases: Some(endpoint.aliases.clone()).filter(|aliases| !aliases.is_empty()),
        driver_opts: endpoint.driver_options.clone(),
        gw_priority: Some(endpoint.priority),
        network_id: Some(
            record
                .as_ref()
                .map(|record| record.id.clone())
                .unwrap_or_default(),
        ),
        endpoint_id: Some(active.map(|active| active.id.clone()).unwrap_or_default()),
        gateway: Some(gateway(false)),
        ip_address: Some(address(v4)),
        ip_prefix_len: Some(prefix(v4)),
        ipv6_gateway: Some(gateway(true)),
        global_ipv6_address: Some(address(v6)),
        global_ipv6_prefix_len: Some(prefix(v6)),
        dns_names: Some(endpoint.names.clone()).filter(|names| !names.is_empty()),
    }
}
