//! A container's part of a network as it was asked for (moby `daemon/container_operations.go`), which its record
//! keeps whether it runs or not.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard_stubs::models::{ContainerCreateBody, EndpointSettings};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

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

pub(super) fn refuse<T>(text: impl Into<String>) -> Result<T> {
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

pub(super) fn endpoint(name: &str, settings: &EndpointSettings) -> Result<Endpoint> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let address = |text: Option<String>, v6: bool| match text {
        None => Ok(None),
        Some(text) => match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv6() == v6 => Ok(Some(address)),
            _ => refuse(format!("invalid IPv{} address: {text}", if v6 { 6 } else { 4 })),
        },
    };
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    if ipam.link_local_ips.is_some_and(|addresses| !addresses.is_empty()) {
        return Err(EngineError::Unsupported(
            "link-local addresses (LinkLocalIPs)".to_owned(),
        ));
    }
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
    fn a_link_local_address_is_refused_and_not_dropped() {
        let settings = EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                link_local_ips: Some(vec!["169.254.8.8".to_owned()]),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        let error = resolve(&body(Some("web"), &[("web", settings)])).unwrap_err();
        assert!(matches!(error, EngineError::Unsupported(_)), "{error}");
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
}
