//! Whose names have to be looked up before anything is pulled.

use std::net::IpAddr;

use reqwest::Url;

use super::client::DOCKER_HUB;
use super::transport::is_loopback_host;
use crate::config::StoreConfig;

/// Who gives tokens for Docker Hub.
const DOCKER_HUB_TOKENS: &str = "auth.docker.io";

/// The names of the registries that a store is set up to ask, sorted: Docker Hub's or those of its mirrors, and those
/// of registries without TLS. An address has no name to look up.
pub fn hosts(config: &StoreConfig) -> Vec<String> {
    let mirrors = config.mirrors.iter().flat_map(|mirror| &mirror.urls);
    let mirrors = mirrors.filter_map(|url| Some(Url::parse(url).ok()?.host_str()?.to_owned()));
    let insecure = config.insecure_registries.iter().map(|registry| {
        let name = registry
            .rsplit_once(':')
            .map_or(registry.as_str(), |(name, _)| name);
        name.to_owned()
    });
    let mut hosts: Vec<String> = mirrors.chain(insecure).collect();
    if config.mirrors.iter().all(|mirror| mirror.domain != "docker.io") {
        hosts.extend([DOCKER_HUB, DOCKER_HUB_TOKENS].map(str::to_owned));
    }
    hosts.retain(|host| is_name(host));
    hosts.sort();
    hosts.dedup();
    hosts
}

fn is_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    !bare.is_empty() && !is_loopback_host(host) && !bare.contains(':') && bare.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mirror;

    #[test]
    fn without_settings_pulls_begin_at_docker_hub() {
        assert_eq!(
            hosts(&StoreConfig::new("/s")),
            [DOCKER_HUB_TOKENS, DOCKER_HUB].map(str::to_owned)
        );
    }

    #[test]
    fn a_mirror_stands_for_its_registry_and_an_address_has_no_name() {
        let config = StoreConfig {
            mirrors: vec![Mirror {
                domain: "docker.io".to_owned(),
                urls: vec![
                    "https://mirror.test:8443/x".to_owned(),
                    "http://127.0.0.1:5000".to_owned(),
                    "http://[::1]:5000".to_owned(),
                ],
            }],
            insecure_registries: vec![
                "registry.test:5000".to_owned(),
                "registry.test".to_owned(),
                "10.0.0.1:5000".to_owned(),
                "localhost:5000".to_owned(),
                "[fd00::1]:5000".to_owned(),
            ],
            ..StoreConfig::new("/s")
        };
        assert_eq!(hosts(&config), ["mirror.test", "registry.test"]);
    }
}
