//! `network`.

use bollard_stubs::models::{
    ConfigReference, EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest, NetworkInspect,
};

use crate::arguments::{
    NetworkCommand, NetworkConnectArguments, NetworkCreateArguments, ObjectListArguments,
    ObjectRemoveArguments,
};
use crate::client::{Client, Target};
use crate::commands::{Several, filters, inspect, prune};
use crate::failure::{Failure, Result};
use crate::format::{DEFAULT_NETWORKS, Listing, NETWORK_HEADER, network_row};
use crate::output::{line, print, tell};
use crate::values::pairs;

/// `sampan network`.
pub(crate) async fn run(client: &Client, command: NetworkCommand) -> Result<()> {
    match command {
        NetworkCommand::Create(arguments) => create(client, arguments).await,
        NetworkCommand::Inspect(arguments) => {
            inspect::named(client, "network", arguments.objects, arguments.verbose).await
        }
        NetworkCommand::Ls(arguments) => list(client, arguments).await,
        NetworkCommand::Prune(arguments) => prune::networks(client, &arguments).await,
        NetworkCommand::Rm(arguments) => remove(client, arguments).await,
        NetworkCommand::Connect(arguments) => connect(client, arguments).await,
        NetworkCommand::Disconnect(arguments) => {
            let request = NetworkDisconnectRequest {
                container: arguments.container,
                force: Some(arguments.force),
            };
            let target = Target::new(&["networks", &arguments.network, "disconnect"]);
            Ok(client.post_json_only(&target, &request).await?)
        }
    }
}

async fn create(client: &Client, arguments: NetworkCreateArguments) -> Result<()> {
    let config = subnets(&arguments).map_err(Failure::new)?;
    let request = NetworkCreateRequest {
        name: arguments.network,
        driver: Some(arguments.driver),
        internal: Some(arguments.internal),
        attachable: Some(arguments.attachable),
        ipam: Some(Ipam {
            driver: Some(arguments.ipam_driver),
            config: Some(config),
            options: (!arguments.ipam_opt.is_empty()).then(|| pairs(&arguments.ipam_opt)),
        }),
        scope: arguments.scope,
        ingress: Some(arguments.ingress),
        config_only: Some(arguments.config_only),
        config_from: arguments.config_from.map(|network| ConfigReference {
            network: Some(network),
        }),
        enable_ipv4: arguments.ipv4,
        enable_ipv6: Some(arguments.ipv6),
        options: Some(pairs(&arguments.opt)),
        labels: Some(pairs(&arguments.label)),
    };
    let created: NetworkCreateResponse = client
        .post_json(&Target::new(&["networks", "create"]), &request)
        .await?;
    if !created.warning.is_empty() {
        tell(&format!("WARNING: {}", created.warning));
    }
    line(&created.id)
}

/// Each subnet with the ranges, gateways and addresses that lie in it. Without a subnet the others say nothing.
fn subnets(arguments: &NetworkCreateArguments) -> Result<Vec<IpamConfig>, String> {
    let mut configs = Vec::new();
    for text in &arguments.subnet {
        let subnet: ipnet::IpNet = text
            .parse()
            .map_err(|_| format!("invalid CIDR address: {text}"))?;
        configs.push((
            subnet,
            IpamConfig {
                subnet: Some(text.clone()),
                ..IpamConfig::default()
            },
        ));
    }
    let mut place = |address: std::net::IpAddr, set: &dyn Fn(&mut IpamConfig)| {
        let found = configs.iter_mut().find(|(subnet, _)| subnet.contains(&address));
        found.map(|(_, config)| set(config))
    };
    for text in &arguments.ip_range {
        let range: ipnet::IpNet = text
            .parse()
            .map_err(|_| format!("invalid CIDR address: {text}"))?;
        place(range.network(), &|config| config.ip_range = Some(text.clone()))
            .ok_or_else(|| format!("no matching subnet for range {text}"))?;
    }
    for text in &arguments.gateway {
        let gateway = text
            .parse()
            .map_err(|_| format!("invalid gateway address: {text}"))?;
        place(gateway, &|config| config.gateway = Some(text.clone()))
            .ok_or_else(|| format!("no matching subnet for gateway {text}"))?;
    }
    for text in &arguments.aux_address {
        let (name, address) = text.split_once('=').unwrap_or(("", text));
        let parsed = address
            .parse()
            .map_err(|_| format!("invalid auxiliary address: {text}"))?;
        place(parsed, &|config| {
            config
                .auxiliary_addresses
                .get_or_insert_default()
                .insert(name.to_owned(), address.to_owned());
        })
        .ok_or_else(|| format!("no matching subnet for aux-address {address}"))?;
    }
    Ok(configs.into_iter().map(|(_, config)| config).collect())
}

async fn list(client: &Client, arguments: ObjectListArguments) -> Result<()> {
    let listing = Listing::new(arguments.template("{{.ID}}"), DEFAULT_NETWORKS)?;
    let target = Target::new(&["networks"]).with_some("filters", filters(&arguments.filter)?);
    let mut networks: Vec<NetworkInspect> = client.get(&target).await?;
    networks.sort_by(|first, second| first.name.cmp(&second.name));
    let rows = networks
        .iter()
        .map(|network| network_row(network, arguments.no_trunc));
    print(&listing.render(NETWORK_HEADER, rows)?)
}

async fn remove(client: &Client, arguments: ObjectRemoveArguments) -> Result<()> {
    let mut several = Several::default();
    for name in &arguments.names {
        match client.delete(&Target::new(&["networks", name])).await {
            Ok(_) => line(name)?,
            Err(error) if arguments.force && error.status() == Some(hyper::StatusCode::NOT_FOUND) => {}
            Err(error) => several.note(&error),
        }
    }
    several.done()
}

async fn connect(client: &Client, arguments: NetworkConnectArguments) -> Result<()> {
    let addresses = arguments.ip.is_some() || arguments.ip6.is_some();
    let request = NetworkConnectRequest {
        container: arguments.container,
        endpoint_config: Some(EndpointSettings {
            ipam_config: addresses.then_some(EndpointIpamConfig {
                ipv4_address: arguments.ip,
                ipv6_address: arguments.ip6,
                link_local_ips: None,
            }),
            links: Some(arguments.link),
            aliases: Some(arguments.alias),
            driver_opts: Some(pairs(&arguments.driver_opt)),
            gw_priority: arguments.gw_priority,
            ..EndpointSettings::default()
        }),
    };
    let target = Target::new(&["networks", &arguments.network, "connect"]);
    Ok(client.post_json_only(&target, &request).await?)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::arguments::{self, Command};

    fn parsed(line: &str) -> Result<Vec<IpamConfig>, String> {
        let words = format!("sampan network create {line} back");
        match arguments::parse(words.split_whitespace().map(OsString::from))
            .unwrap()
            .command
        {
            Command::Network(NetworkCommand::Create(arguments)) => subnets(&arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn gateways_and_ranges_go_to_the_subnet_that_they_lie_in() {
        let line = "--subnet 10.1.0.0/16 --subnet fd00::/64 --gateway fd00::9 --ip-range 10.1.5.0/24 --aux-address r=10.1.0.5";
        let configs = parsed(line).unwrap();
        assert_eq!(configs[0].ip_range.as_deref(), Some("10.1.5.0/24"));
        assert_eq!(configs[0].auxiliary_addresses.as_ref().unwrap()["r"], "10.1.0.5");
        assert_eq!(configs[1].gateway.as_deref(), Some("fd00::9"));
    }

    #[test]
    fn what_lies_in_no_subnet_is_an_error() {
        let error = parsed("--subnet 10.1.0.0/16 --gateway 10.2.0.1").unwrap_err();
        assert_eq!(error, "no matching subnet for gateway 10.2.0.1");
    }
}
