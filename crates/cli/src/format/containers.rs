//! The rows of `ps` (docker/cli `cli/command/formatter/container.go`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard_stubs::models::{ContainerSummary, PortSummary};
use serde_json::{Value, json};

use super::{Header, labels, units};

pub(crate) const DEFAULT_CONTAINERS: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t\
                                             {{.Status}}\\t{{.Ports}}\\t{{.Names}}";

pub(crate) const CONTAINER_HEADER: &Header = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

/// One container's fields.
pub(crate) fn container_row(container: &ContainerSummary, full: bool, now: SystemTime) -> Value {
    let id = container.id.as_deref().unwrap_or_default();
    let image_id = container.image_id.as_deref().unwrap_or_default();
    let image = container.image.as_deref().unwrap_or_default();
    let image = match image {
        "" => "<no image>",
        image if !full && short(image_id) == short(image) => short(image),
        image if !full => image.split_once('@').map_or(image, |(name, _)| name),
        image => image,
    };
    let command = container.command.as_deref().unwrap_or_default();
    let command = if full {
        command.to_owned()
    } else {
        ellipsis(command, 20)
    };
    let created = container.created.unwrap_or_default();
    let created_at = UNIX_EPOCH + Duration::from_secs(u64::try_from(created).unwrap_or_default());
    let mut networks: Vec<&str> = container
        .network_settings
        .iter()
        .filter_map(|settings| settings.networks.as_ref())
        .flat_map(|networks| networks.keys().map(String::as_str))
        .collect();
    networks.sort_unstable();
    let mounts = container.mounts.iter().flatten();
    let mounts = mounts.filter_map(|mount| mount.name.as_deref().or(mount.source.as_deref()));
    let mounts: Vec<String> = mounts
        .map(|name| if full { name.to_owned() } else { ellipsis(name, 15) })
        .collect();
    json!({
        "ID": if full { id } else { short(id) },
        "Names": names(container.names.as_deref().unwrap_or_default(), full),
        "Image": image,
        "Command": quote(&command),
        "CreatedAt": date(created),
        "RunningFor": format!("{} ago", units::duration(now.duration_since(created_at).unwrap_or_default())),
        "Ports": ports(container.ports.as_deref().unwrap_or_default()),
        "State": container.state.map(|state| state.to_string()).unwrap_or_default(),
        "Status": container.status.as_deref().unwrap_or_default(),
        "Size": size(container.size_rw.unwrap_or_default(), container.size_root_fs.unwrap_or_default()),
        "Labels": container.labels.as_ref().map(labels).unwrap_or_default(),
        "Mounts": mounts.join(","),
        "LocalVolumes": container.mounts.iter().flatten()
            .filter(|mount| mount.driver.as_deref() == Some("local")).count().to_string(),
        "Networks": networks.join(","),
    })
}

/// The first twelve digits of an ID.
pub(crate) fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// Names without their slash. Those of links have one inside and are left out of a short list.
fn names(names: &[String], full: bool) -> String {
    let mut names = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    if full {
        names.collect::<Vec<_>>().join(",")
    } else {
        names
            .find(|name| !name.contains('/'))
            .unwrap_or_default()
            .to_owned()
    }
}

fn size(written: i64, whole: i64) -> String {
    let written = units::size(written);
    if whole > 0 {
        format!("{written} (virtual {})", units::size(whole))
    } else {
        written
    }
}

/// At most so many characters, the last an ellipsis where some were cut.
pub(crate) fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A Go string literal.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A point in time as Go prints one: `2006-01-02 15:04:05 -0700 MST`.
pub(crate) fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time
            .to_zoned_datetime(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S %z %Z")
            .to_string(),
        Err(_) => String::new(),
    }
}

/// Ports, published and exposed: `0.0.0.0:80->80/tcp, 443/tcp`, neighbours as one range.
fn ports(ports: &[PortSummary]) -> String {
    let mut ports: Vec<_> = ports
        .iter()
        .map(|port| {
            let kind = port.typ.map(|kind| kind.to_string()).unwrap_or_default();
            let published = port.public_port.filter(|public| *public > 0);
            (
                port.ip.clone().unwrap_or_default(),
                kind,
                port.private_port,
                published,
            )
        })
        .collect();
    ports.sort_unstable_by(|a, b| (a.2, &a.0, a.3, &a.1).cmp(&(b.2, &b.0, b.3, &b.1)));
    ports.dedup();
    let mut texts: Vec<String> = Vec::new();
    let mut rest = ports.as_slice();
    while let Some((first, mut following)) = rest.split_first() {
        let mut last = first;
        while let Some((next, after)) = following.split_first() {
            let same = next.0 == first.0 && next.1 == first.1 && next.3.is_some() == first.3.is_some();
            let private = next.2.checked_sub(last.2) == Some(1);
            let public = match (last.3, next.3) {
                (Some(last), Some(next)) => next.checked_sub(last) == Some(1),
                _ => true,
            };
            if !(same && private && public) {
                break;
            }
            (last, following) = (next, after);
        }
        let range = |from: u16, to: u16| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        };
        let inside = range(first.2, last.2);
        texts.push(match (first.3, last.3) {
            (Some(from), Some(to)) => {
                let ip = if first.0.contains(':') {
                    format!("[{}]", first.0)
                } else {
                    first.0.clone()
                };
                format!("{ip}:{}->{inside}/{}", range(from, to), first.1)
            }
            _ => format!("{inside}/{}", first.1),
        });
        rest = following;
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::PortSummaryTypeEnum;

    use super::*;
    use crate::format::Listing;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn container() -> ContainerSummary {
        ContainerSummary {
            id: Some("0123456789abcdef0123456789abcdef".into()),
            names: Some(vec!["/other/link".into(), "/happy_turing".into()]),
            image: Some("alpine".into()),
            image_id: Some("sha256:ffff".into()),
            command: Some("ping localhost --and more of it".into()),
            created: Some(1_000_000 - 300),
            status: Some("Up 5 minutes".into()),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn a_container_is_listed_with_all_seven_columns() {
        let listing = Listing::new(None, DEFAULT_CONTAINERS).unwrap();
        let text = listing
            .render(CONTAINER_HEADER, [container_row(&container(), false, now())])
            .unwrap();
        assert_eq!(
            text,
            "CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         PORTS     NAMES\n\
             0123456789ab   alpine    \"ping localhost --an…\"   5 minutes ago   Up 5 minutes             happy_turing\n"
        );
    }

    #[test]
    fn nothing_is_cut_when_all_is_asked_for() {
        let row = container_row(&container(), true, now());
        assert_eq!(row["ID"], "0123456789abcdef0123456789abcdef");
        assert_eq!(row["Command"], "\"ping localhost --and more of it\"");
        assert_eq!(row["Names"], "other/link,happy_turing");
    }

    #[test]
    fn neighbouring_ports_are_one_range() {
        let port = |private, public: Option<u16>| PortSummary {
            ip: public.map(|_| "0.0.0.0".into()),
            private_port: private,
            public_port: public,
            typ: Some(PortSummaryTypeEnum::TCP),
        };
        let listed = [port(81, Some(8081)), port(80, Some(8080)), port(6379, None)];
        assert_eq!(ports(&listed), "0.0.0.0:8080-8081->80-81/tcp, 6379/tcp");
    }

    #[test]
    fn a_command_is_quoted_as_go_does() {
        assert_eq!(quote("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\x01é\"");
    }
}
