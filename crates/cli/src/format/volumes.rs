//! The rows of `volume ls` (docker/cli `cli/command/formatter/volume.go`).

use bollard_stubs::models::Volume;
use serde_json::{Value, json};

use super::{Header, labels, units};

pub(crate) const DEFAULT_VOLUMES: &str = "table {{.Driver}}\\t{{.Name}}";

pub(crate) const VOLUME_HEADER: &Header = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

/// One volume's fields.
pub(crate) fn volume_row(volume: &Volume) -> Value {
    let usage = volume.usage_data.as_ref();
    let known = |value: Option<String>| value.unwrap_or_else(|| "N/A".to_owned());
    json!({
        "Name": volume.name,
        "Driver": volume.driver,
        "Scope": volume.scope.map(|scope| scope.to_string()).unwrap_or_default(),
        "Mountpoint": volume.mountpoint,
        "Labels": labels(&volume.labels),
        "Links": known(usage.map(|usage| usage.ref_count.to_string())),
        "Size": known(usage.map(|usage| units::sum(usage.size))),
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    })
}
