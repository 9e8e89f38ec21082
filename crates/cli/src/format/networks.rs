//! The rows of `network ls` (docker/cli `cli/command/network/formatter.go`).

use bollard_stubs::models::NetworkInspect;
use serde_json::{Value, json};

use super::containers::short;
use super::{Header, labels};

pub(crate) const DEFAULT_NETWORKS: &str = "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";

pub(crate) const NETWORK_HEADER: &Header = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

/// One network's fields.
pub(crate) fn network_row(network: &NetworkInspect, full: bool) -> Value {
    let id = network.id.as_deref().unwrap_or_default();
    json!({
        "ID": if full { id } else { short(id) },
        "Name": network.name.as_deref().unwrap_or_default(),
        "Driver": network.driver.as_deref().unwrap_or_default(),
        "Scope": network.scope.as_deref().unwrap_or_default(),
        "IPv4": network.enable_ipv4.unwrap_or(true).to_string(),
        "IPv6": network.enable_ipv6.unwrap_or(false).to_string(),
        "Internal": network.internal.unwrap_or(false).to_string(),
        "Labels": network.labels.as_ref().map(labels).unwrap_or_default(),
        "CreatedAt": network.created.as_deref().unwrap_or_default(),
    })
}
