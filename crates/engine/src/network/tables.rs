//! The names of containers, as guests are told them: one table for each network that the user made, one for each
//! container's own links, and lines for /etc/hosts on the default network, which has no resolver.

use std::collections::BTreeMap;
use std::net::IpAddr;

use protocol::Request;

use super::endpoints::Endpoint;
use crate::container::Container;
use crate::engine::Inner;
use crate::error::{EngineError, Result};
use crate::lock::LockExt;
use crate::machine::Guest;
use crate::names;
use crate::record::Record;

/// Every name of a container on a user's network: its own, its aliases, the start of its ID, its host name.
pub(super) fn names_of(record: &Record, aliases: &[String]) -> Vec<String> {
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

impl Inner {
    /// The tables of a container's resolver: its own, then those of the networks that the user made. Without any of
    /// those there is no resolver.
    pub(super) fn tables_of(&self, container: &Container, record: &Record) -> Option<Vec<String>> {
        let networks: Vec<String> = record
            .networks
            .values()
            .filter_map(|endpoint| self.networks.find(&endpoint.network).ok())
            .filter(|network| !network.is_predefined())
            .map(|network| network.id)
            .collect();
        (!networks.is_empty()).then(|| [container.id.clone()].into_iter().chain(networks).collect())
    }

    /// Tells the guest every name on a network, of the containers that run there.
    pub(super) fn tell_names(&self, network: &str, guest: &Guest) {
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
    pub(super) fn tell_links(&self, container: &Container, record: &Record, guest: &Guest) {
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
    pub(super) fn linked_hosts(&self, endpoint: &Endpoint) -> Result<Vec<(IpAddr, Vec<String>)>> {
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
}

fn split_link(link: &str) -> (&str, &str) {
    let (target, alias) = link.split_once(':').unwrap_or((link, link));
    (
        target.trim_start_matches('/'),
        alias.rsplit('/').next().unwrap_or(alias),
    )
}
