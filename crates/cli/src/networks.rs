//! `--network` and what goes with it as endpoints of the API (docker/cli `opts/network.go`).

use std::collections::HashMap;

use bollard_stubs::models::{EndpointIpamConfig, EndpointSettings, HealthConfig, NetworkingConfig};

use crate::arguments::ContainerFlags;
use crate::values;

type Result<T> = std::result::Result<T, String>;

/// The network mode, and the settings of each network that has any.
pub(crate) fn networks(flags: &ContainerFlags) -> Result<(String, Option<NetworkingConfig>)> {
    let mut named = flags
        .network
        .iter()
        .map(|text| one(text))
        .collect::<Result<Vec<_>>>()?;
    if named.is_empty() {
        named.push(("default".to_owned(), EndpointSettings::default()));
    }
    let Some((mode, first)) = named.first_mut() else {
        return Err("no network was named".to_owned());
    };
    let mode = mode.clone();
    if !flags.network_alias.is_empty() {
        first
            .aliases
            .get_or_insert_default()
            .extend(flags.network_alias.iter().cloned());
    }
    if let Some(mac) = &flags.mac_address {
        first.mac_address = Some(mac.clone());
    }
    if flags.ip.is_some() || flags.ip6.is_some() {
        let ipam = first.ipam_config.get_or_insert_default();
        ipam.ipv4_address = flags.ip.clone().or(ipam.ipv4_address.take());
        ipam.ipv6_address = flags.ip6.clone().or(ipam.ipv6_address.take());
    }
    if !flags.link.is_empty() && !matches!(mode.as_str(), "default" | "bridge") {
        first
            .links
            .get_or_insert_default()
            .extend(flags.link.iter().cloned());
    }
    let plain = named
        .iter()
        .all(|(_, settings)| *settings == EndpointSettings::default());
    let count = named.len();
    let endpoints: HashMap<String, EndpointSettings> = named.into_iter().collect();
    if endpoints.len() < count {
        return Err("a network is named twice".to_owned());
    }
    let config = (count > 1 || !plain).then_some(NetworkingConfig {
        endpoints_config: Some(endpoints),
    });
    Ok((mode, config))
}

/// One `--network`: a name, or `name=NETWORK,alias=…,ip=…`.
fn one(text: &str) -> Result<(String, EndpointSettings)> {
    let mut settings = EndpointSettings::default();
    if !text.contains('=') {
        return Ok((text.to_owned(), settings));
    }
    let mut name = None;
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("invalid field {part}"))?;
        let value = value.to_owned();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(value),
            "alias" => settings.aliases.get_or_insert_default().push(value),
            "ip" => {
                settings
                    .ipam_config
                    .get_or_insert_with(EndpointIpamConfig::default)
                    .ipv4_address = Some(value)
            }
            "ip6" => {
                settings
                    .ipam_config
                    .get_or_insert_with(EndpointIpamConfig::default)
                    .ipv6_address = Some(value)
            }
            "mac-address" => settings.mac_address = Some(value),
            "driver-opt" => {
                let (option, value) = values::split(&value, '=');
                settings.driver_opts.get_or_insert_default().insert(option, value);
            }
            "gw-priority" => {
                let number = value
                    .parse()
                    .map_err(|_| format!("invalid gw-priority ({value})"))?;
                settings.gw_priority = Some(number);
            }
            other => return Err(format!("invalid field key {other}")),
        }
    }
    let name = name.ok_or_else(|| "network name/id is not specified".to_owned())?;
    Ok((name, settings))
}

/// `--health-…` and `--no-healthcheck`.
pub(crate) fn health(flags: &ContainerFlags) -> Result<Option<HealthConfig>> {
    let nanoseconds = |text: &Option<String>| -> Result<Option<i64>> {
        let Some(text) = text else { return Ok(None) };
        let duration = values::duration(text)?;
        Ok(Some(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    };
    let config = HealthConfig {
        test: flags
            .health_cmd
            .as_ref()
            .map(|command| vec!["CMD-SHELL".to_owned(), command.clone()]),
        interval: nanoseconds(&flags.health_interval)?,
        timeout: nanoseconds(&flags.health_timeout)?,
        retries: flags.health_retries,
        start_period: nanoseconds(&flags.health_start_period)?,
        start_interval: nanoseconds(&flags.health_start_interval)?,
    };
    let given = config != HealthConfig::default();
    if flags.no_healthcheck {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        return Ok(Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }));
    }
    Ok(given.then_some(config))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::arguments::{self, Command};

    fn flags(line: &str) -> ContainerFlags {
        let words = format!("sampan run {line} alpine");
        match arguments::parse(words.split_whitespace().map(OsString::from))
            .unwrap()
            .command
        {
            Command::Run(run) => run.container,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_network_there_are_no_settings() {
        assert_eq!(networks(&flags("")).unwrap(), ("default".to_owned(), None));
        assert_eq!(
            networks(&flags("--network host")).unwrap(),
            ("host".to_owned(), None)
        );
    }

    #[test]
    fn the_first_network_takes_the_flags_that_name_none() {
        let (mode, config) = networks(&flags(
            "--network name=front,alias=www --network back --network-alias web --ip 10.0.0.2",
        ))
        .unwrap();
        let endpoints = config.unwrap().endpoints_config.unwrap();
        assert_eq!((mode.as_str(), endpoints.len()), ("front", 2));
        assert_eq!(endpoints["front"].aliases.as_deref().unwrap(), ["www", "web"]);
        let ipam = endpoints["front"].ipam_config.as_ref().unwrap();
        assert_eq!(ipam.ipv4_address.as_deref(), Some("10.0.0.2"));
    }

    #[test]
    fn a_health_check_is_a_command_of_the_shell_with_times() {
        let line = "--health-cmd true --health-interval 1m30s --health-retries 2";
        let config = health(&flags(line)).unwrap().unwrap();
        assert_eq!(config.test.unwrap(), ["CMD-SHELL", "true"]);
        assert_eq!((config.interval, config.retries), (Some(90_000_000_000), Some(2)));
        assert!(health(&flags("--no-healthcheck --health-cmd true")).is_err());
        assert_eq!(health(&flags("")).unwrap(), None);
    }
}
