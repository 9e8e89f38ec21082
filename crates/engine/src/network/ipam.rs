//! Which addresses a network has and who gets which (moby `libnetwork/ipam`).

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bollard_stubs::models::{Ipam, IpamConfig};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

/// Addresses that are looked at in search of a free one.
const LONGEST_SEARCH: usize = 1 << 17;

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) subnet: IpNet,
    pub(crate) gateway: IpAddr,
    /// Where addresses come from that nobody asked for; all of the subnet where it is not given.
    pub(crate) range: Option<IpNet>,
    /// Addresses that are somebody else's, by their names.
    #[serde(default)]
    pub(crate) auxiliary: HashMap<String, IpAddr>,
    /// Whether the user chose it, so that containers may ask for an address in it.
    pub(crate) chosen: bool,
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(EngineError::BadRequest(text.into()))
}

/// The pools of a request. What is not asked for comes from Docker's own ranges, around those that are taken.
pub(crate) fn pools(
    ipam: Option<&Ipam>,
    v4: bool,
    v6: bool,
    taken: &[IpNet],
    seed: [u8; 5],
) -> Result<Vec<Pool>> {
    if let Some(driver) = ipam.and_then(|ipam| ipam.driver.as_deref())
        && !matches!(driver, "" | "default")
    {
        return Err(EngineError::NotFound(format!("plugin \"{driver}\" not found")));
    }
    let asked = ipam.and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    let mut pools: Vec<Pool> = Vec::new();
    for config in asked {
        // The old form of "anything".
        if *config == IpamConfig::default() {
            continue;
        }
        let pool = pool(config)?;
        let overlaps = |other: &IpNet| other.contains(&pool.subnet) || pool.subnet.contains(other);
        if taken
            .iter()
            .chain(pools.iter().map(|pool| &pool.subnet))
            .any(overlaps)
        {
            return Err(EngineError::Forbidden(
                "invalid pool request: Pool overlaps with other one on this address space".to_owned(),
            ));
        }
        pools.push(pool);
    }
    let has = |pools: &[Pool], v6: bool| pools.iter().any(|pool| pool.subnet.addr().is_ipv6() == v6);
    if v4 && !has(&pools, false) {
        pools.push(free_pool(v4_candidates(), taken)?);
    }
    if v6 && !has(&pools, true) {
        pools.push(free_pool(v6_candidates(seed), taken)?);
    }
    if !v6 && has(&pools, true) {
        // Docker takes the subnet and leaves it unused.
        pools.retain(|pool| pool.subnet.addr().is_ipv4());
    }
    Ok(pools)
}

fn pool(config: &IpamConfig) -> Result<Pool> {
    let text = config.subnet.as_deref().unwrap_or_default();
    let subnet: IpNet = match text.parse() {
        Ok(subnet) => subnet,
        Err(_) if text.is_empty() => {
            return refuse("invalid network config:\ninvalid subnet : subnet is empty");
        }
        Err(_) => {
            return refuse(format!(
                "invalid network config:\ninvalid subnet {text}: invalid CIDR block notation"
            ));
        }
    };
    if subnet.addr() != subnet.network() {
        return refuse(format!(
            "invalid network config:\ninvalid subnet {text}: it should be {}",
            subnet.trunc()
        ));
    }
    let largest = if subnet.addr().is_ipv4() { 30 } else { 126 };
    if subnet.prefix_len() > largest {
        return refuse(format!(
            "invalid network config:\nsubnet {text} has no room for a gateway and a container: use /{largest} or larger"
        ));
    }
    let inside = |what: &str, text: &str| -> Result<IpAddr> {
        match text.parse::<IpAddr>() {
            Ok(address) if subnet.contains(&address) => Ok(address),
            Ok(_) => refuse(format!(
                "invalid network config:\ninvalid {what} {text}: parent subnet {subnet} doesn't contain this address"
            )),
            Err(_) => refuse(format!(
                "invalid network config:\ninvalid {what} {text}: invalid address"
            )),
        }
    };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let gateway = match given(&config.gateway) {
        Some(gateway) => inside("gateway", &gateway)?,
        None => first_of(&subnet),
    };
    let range = match given(&config.ip_range) {
        None => None,
        Some(text) => match text.parse::<IpNet>() {
            Ok(range) if subnet.contains(&range) => Some(range.trunc()),
            _ => {
                return refuse(format!(
                    "invalid network config:\ninvalid ip-range {text}: it is not within the subnet {subnet}"
                ));
            }
        },
    };
    let auxiliary = config
        .auxiliary_addresses
        .iter()
        .flatten()
        .map(|(name, text)| Ok((name.clone(), inside("auxiliary address", text)?)))
        .collect::<Result<_>>()?;
    Ok(Pool {
        subnet,
        gateway,
        range,
        auxiliary,
        chosen: true,
    })
}

fn first_of(subnet: &IpNet) -> IpAddr {
    match subnet {
        IpNet::V4(subnet) => Ipv4Addr::from_bits(subnet.network().to_bits().saturating_add(1)).into(),
        IpNet::V6(subnet) => Ipv6Addr::from_bits(subnet.network().to_bits().saturating_add(1)).into(),
    }
}

/// 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in parts of 4096 addresses.
fn v4_candidates() -> impl Iterator<Item = IpNet> {
    let large = (17..=31u8).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..16u8).map(|part| (Ipv4Addr::new(192, 168, part.saturating_mul(16), 0), 20));
    large
        .chain(small)
        .filter_map(|(address, prefix)| Ipv4Net::new(address, prefix).ok().map(IpNet::V4))
}

/// Unique local addresses of this engine (RFC 4193): 40 bits that are nobody else's, then a number.
fn v6_candidates(seed: [u8; 5]) -> impl Iterator<Item = IpNet> {
    (0..u16::MAX).filter_map(move |number| {
        let mut octets = [0; 16];
        let parts = [0xfd].into_iter().chain(seed).chain(number.to_be_bytes());
        for (octet, part) in octets.iter_mut().zip(parts) {
            *octet = part;
        }
        Ipv6Net::new(Ipv6Addr::from(octets), 64).ok().map(IpNet::V6)
    })
}

fn free_pool(candidates: impl Iterator<Item = IpNet>, taken: &[IpNet]) -> Result<Pool> {
    let mut candidates = candidates;
    let free = candidates.find(|candidate| {
        !taken
            .iter()
            .any(|other| other.contains(candidate) || candidate.contains(other))
    });
    let subnet = free.ok_or_else(|| {
        EngineError::BadRequest(
            "could not find an available, non-overlapping address pool among the defaults to assign to the network: \
             remove networks that are not used (`sampan network prune`), or give --subnet"
                .to_owned(),
        )
    })?;
    Ok(Pool {
        gateway: first_of(&subnet),
        subnet,
        range: None,
        auxiliary: HashMap::new(),
        chosen: false,
    })
}

impl Pool {
    /// An address that nobody has: the wanted one, or the first that is free.
    pub(crate) fn lease(&self, wanted: Option<IpAddr>, leased: &BTreeSet<IpAddr>) -> Result<IpAddr> {
        let taken = |address: &IpAddr| {
            *address == self.gateway
                || leased.contains(address)
                || self.auxiliary.values().any(|auxiliary| auxiliary == address)
        };
        if let Some(wanted) = wanted {
            if !self.subnet.contains(&wanted) {
                return refuse(format!(
                    "invalid address {wanted}: it does not belong to any of this network's subnets"
                ));
            }
            if taken(&wanted) {
                return Err(EngineError::Forbidden("Address already in use".to_owned()));
            }
            return Ok(wanted);
        }
        let range = self.range.unwrap_or(self.subnet);
        let (network, broadcast) = (self.subnet.network(), self.subnet.broadcast());
        let free = range
            .hosts()
            .take(LONGEST_SEARCH)
            .find(|address| *address != network && *address != broadcast && !taken(address));
        free.ok_or_else(|| {
            EngineError::Conflict(format!(
                "no available IPv{} addresses on this network's address pools: {range}",
                if range.addr().is_ipv4() { 4 } else { 6 }
            ))
        })
    }

    /// As `inspect` shows it.
    pub(crate) fn view(&self) -> IpamConfig {
        IpamConfig {
            subnet: Some(self.subnet.to_string()),
            ip_range: self.range.map(|range| range.to_string()),
            gateway: Some(self.gateway.to_string()),
            auxiliary_addresses: Some(
                self.auxiliary
                    .iter()
                    .map(|(name, address)| (name.clone(), address.to_string()))
                    .collect::<HashMap<_, _>>(),
            )
            .filter(|addresses| !addresses.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(subnet: &str, gateway: Option<&str>, range: Option<&str>) -> Ipam {
        Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_owned()),
                gateway: gateway.map(str::to_owned),
                ip_range: range.map(str::to_owned),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }
    }

    fn one(ipam: &Ipam, taken: &[IpNet]) -> Result<Pool> {
        pools(Some(ipam), true, false, taken, [1; 5]).map(|mut pools| pools.remove(0))
    }

    #[test]
    fn networks_without_a_subnet_get_dockers_ranges_one_after_the_other() {
        let mut taken = Vec::new();
        for expected in ["172.17.0.0/16", "172.18.0.0/16"] {
            let pool = &pools(None, true, false, &taken, [1; 5]).unwrap()[0];
            assert_eq!(pool.subnet.to_string(), expected);
            taken.push(pool.subnet);
        }
        let v6 = pools(None, true, true, &taken, [0xaa, 0xbb, 0xcc, 0xdd, 0xee]).unwrap();
        assert_eq!(v6[1].subnet.to_string(), "fdaa:bbcc:ddee::/64");
    }

    #[test]
    fn a_subnet_that_overlaps_another_is_refused_in_dockers_words() {
        let taken = ["10.0.0.0/8".parse().unwrap()];
        let error = one(&asked("10.1.0.0/16", None, None), &taken).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid pool request: Pool overlaps with other one on this address space"
        );
    }

    #[test]
    fn a_subnet_has_to_be_one_and_to_hold_its_gateway() {
        for (subnet, gateway, said) in [
            ("10.1.0.1/16", None, "it should be 10.1.0.0/16"),
            ("10.1", None, "invalid CIDR block notation"),
            ("10.1.0.0/31", None, "no room"),
            ("10.1.0.0/16", Some("10.2.0.1"), "doesn't contain this address"),
        ] {
            let text = one(&asked(subnet, gateway, None), &[]).unwrap_err().to_string();
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn addresses_come_from_the_range_and_a_wanted_one_from_the_subnet() {
        let pool = one(&asked("10.1.0.0/16", None, Some("10.1.5.0/30")), &[]).unwrap();
        let mut leased = BTreeSet::new();
        while let Ok(address) = pool.lease(None, &leased) {
            leased.insert(address);
        }
        let addresses: Vec<String> = leased.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.1.5.1", "10.1.5.2"]);
        let wanted = "10.1.0.9".parse().ok();
        assert!(pool.lease(wanted, &leased).is_ok());
        assert!(pool.lease("10.1.0.1".parse().ok(), &leased).is_err());
        assert!(pool.lease("10.2.0.1".parse().ok(), &leased).is_err());
    }

    proptest! {
        #[test]
        fn no_two_leases_are_the_same_and_none_is_the_gateway(count in 1usize..40, prefix in 26u8..30) {
            let pool = one(&asked(&format!("10.9.8.0/{prefix}"), None, None), &[]).unwrap();
            let mut leased = BTreeSet::new();
            for _ in 0..count {
                match pool.lease(None, &leased) {
                    Ok(address) => {
                        prop_assert!(address != pool.gateway && pool.subnet.contains(&address));
                        prop_assert!(leased.insert(address));
                    }
                    Err(_) => prop_assert_eq!(leased.len(), (1usize << (32 - prefix)) - 3),
                }
            }
        }
    }
}
