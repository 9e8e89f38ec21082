//! `docker ps`: which containers, in which order, with which texts (moby `daemon/list.go`).

use std::collections::HashMap;
use std::sync::Arc;

use bollard_stubs::models::{
    ContainerSummary, ContainerSummaryHostConfig, ContainerSummaryNetworkSettings, ContainerSummaryStateEnum,
    EndpointSettings, HealthStatusEnum, MountPoint, PortSummary, PortSummaryTypeEnum,
};

use super::{Container, mounts};
use crate::engine::{Engine, Inner};
use crate::error::{EngineError, Result};
use crate::filters::Filters;
use crate::record::{Phase, Record};
use crate::time;

const KNOWN: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: &[&str] = &[
    "created",
    "dead",
    "exited",
    "paused",
    "removing",
    "restarting",
    "running",
];

impl Engine {
    /// The containers that run, or all of them, newest first.
    pub async fn list_containers(
        &self,
        all: bool,
        limit: Option<i64>,
        filters: &Filters,
    ) -> Result<Vec<ContainerSummary>> {
        let inner = self.inner.clone();
        let query = Query::new(&inner, all, limit, filters).await?;
        let mut records: Vec<(Record, Arc<Container>)> = inner
            .registry
            .all()
            .into_iter()
            .map(|container| (container.record(), container))
            .collect();
        records.sort_by(|(first, _), (second, _)| {
            second
                .created
                .cmp(&first.created)
                .then_with(|| first.id.cmp(&second.id))
        });
        let tags = inner.image_ids_by_name().await;
        let now = time::now();
        Ok(records
            .into_iter()
            .filter(|(record, container)| query.accepts(record, container.health_status()))
            .take(query.limit)
            .map(|(record, container)| {
                let networks = container.endpoints(&inner.networks, &record);
                let health = container.health_status();
                let mounts = mounts::points(&record, |name| inner.volumes.place(name));
                summary(record, health, (mounts, networks), &tags, now)
            })
            .collect())
    }
}

/// A resolved list request.
#[derive(Debug)]
struct Query {
    all: bool,
    limit: usize,
    filters: Filters,
    exited: Vec<i64>,
    /// Creation times; only containers on the far side of each are listed.
    before: Option<i64>,
    since: Option<i64>,
    /// Image IDs; `None` where ancestors are not asked for.
    ancestors: Option<Vec<String>>,
    /// Names and IDs of all networks, where these are asked for.
    networks: Vec<(String, String)>,
}

impl Query {
    async fn new(inner: &Arc<Inner>, all: bool, limit: Option<i64>, filters: &Filters) -> Result<Self> {
        filters.only(KNOWN)?;
        let exited = filters
            .values("exited")
            .iter()
            .map(|code| {
                code.parse::<i64>()
                    .map_err(|_| EngineError::BadRequest(format!("invalid filter 'exited={code}'")))
            })
            .collect::<Result<Vec<i64>>>()?;
        if let Some(status) = filters
            .values("status")
            .iter()
            .find(|status| !STATES.contains(&status.as_str()))
        {
            return Err(EngineError::BadRequest(format!(
                "invalid filter 'status={status}'"
            )));
        }
        let created = |name: &str| -> Result<Option<i64>> {
            match filters.values(name).last() {
                None => Ok(None),
                Some(id) => Ok(Some(
                    inner.registry.find(id)?.with_record(|record| record.created),
                )),
            }
        };
        let (before, since) = (created("before")?, created("since")?);
        let mut ancestors = None;
        for name in filters.values("ancestor") {
            let ids = ancestors.get_or_insert_with(Vec::new);
            if let Ok(image) = inner.find_image(name, None).await {
                ids.push(image.id.to_string());
            }
            ids.push(name.clone());
        }
        let limit = limit
            .filter(|limit| *limit > 0)
            .and_then(|limit| usize::try_from(limit).ok());
        // A filter that names containers which do not run, and a limit, look at all of them.
        let all = all
            || limit.is_some()
            || before.is_some()
            || since.is_some()
            || filters.has("status")
            || !exited.is_empty();
        Ok(Self {
            all,
            limit: limit.unwrap_or(usize::MAX),
            filters: filters.clone(),
            exited,
            before,
            since,
            ancestors,
            networks: if filters.has("network") {
                inner.networks.names()
            } else {
                Vec::new()
            },
        })
    }

    fn accepts(&self, record: &Record, health: HealthStatusEnum) -> bool {
        let filters = &self.filters;
        let phase = record.state.phase;
        let label = |name: &str| record.config.labels.as_ref()?.get(name).map(String::as_str);
        (self.all || phase.is_active())
            && filters.any("name", |wanted| name_matches(&record.name, wanted))
            && filters.any("id", |wanted| record.id.contains(wanted))
            && filters.labels_match("label", label)
            && (self.exited.is_empty()
                || (phase == Phase::Exited && self.exited.contains(&record.state.exit_code)))
            && filters.any("status", |wanted| wanted == phase.name())
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self.ancestors.as_ref().is_none_or(|ids| {
                ids.iter()
                    .any(|id| *id == record.image_id || *id == record.image_name())
            })
            && filters.any("network", |wanted| {
                record.networks.keys().any(|name| name == wanted)
                    || self.networks.iter().any(|(name, id)| {
                        id.starts_with(wanted)
                            && record
                                .networks
                                .values()
                                .any(|endpoint| endpoint.network == *name || endpoint.network == *id)
                    })
            })
            && filters.any("health", |wanted| wanted == health.to_string())
            && filters.any("expose", |wanted| exposes(record, wanted))
            && filters.any("publish", |_| false)
            && filters.any("volume", |wanted| {
                record
                    .volumes
                    .iter()
                    .any(|volume| volume.name == wanted || volume.target == wanted)
            })
            && filters.any("is-task", |wanted| wanted == "false")
    }
}

/// Docker matches a name filter as a regular expression anywhere in the name; the anchors and the plain text
/// that people use are understood here.
fn name_matches(name: &str, wanted: &str) -> bool {
    let with_slash = format!("/{name}");
    let (wanted, starts) = wanted
        .strip_prefix('^')
        .map_or((wanted, false), |rest| (rest, true));
    let (wanted, ends) = wanted
        .strip_suffix('$')
        .map_or((wanted, false), |rest| (rest, true));
    [name, with_slash.as_str()]
        .iter()
        .any(|name| match (starts, ends) {
            (true, true) => *name == wanted,
            (true, false) => name.starts_with(wanted),
            (false, true) => name.ends_with(wanted),
            (false, false) => name.contains(wanted),
        })
}

fn exposes(record: &Record, wanted: &str) -> bool {
    let wanted = if wanted.contains('/') {
        wanted.to_owned()
    } else {
        format!("{wanted}/tcp")
    };
    record
        .config
        .exposed_ports
        .iter()
        .flatten()
        .any(|port| *port == wanted)
}

fn summary(
    record: Record,
    health: HealthStatusEnum,
    (mounts, networks): (Vec<MountPoint>, HashMap<String, EndpointSettings>),
    tags: &HashMap<String, String>,
    now: i64,
) -> ContainerSummary {
    // A name that means another image by now is told as the image's ID.
    let image = match tags.get(record.image_name()) {
        Some(id) if *id != record.image_id => record.image_id.clone(),
        _ => record.image_name().to_owned(),
    };
    let running = record.state.phase.is_running();
    let network = record.host_config.network_mode.clone().unwrap_or_default();
    ContainerSummary {
        names: Some(vec![format!("/{}", record.name)]),
        image: Some(image),
        image_id: Some(record.image_id.clone()),
        image_manifest_descriptor: None,
        command: Some(record.command()),
        created: Some(record.created / 1_000_000_000),
        ports: Some(if running { ports(&record) } else { Vec::new() }),
        size_rw: None,
        size_root_fs: None,
        state: Some(match record.state.phase {
            Phase::Created => ContainerSummaryStateEnum::CREATED,
            Phase::Running => ContainerSummaryStateEnum::RUNNING,
            Phase::Paused => ContainerSummaryStateEnum::PAUSED,
            Phase::Restarting => ContainerSummaryStateEnum::RESTARTING,
            Phase::Exited => ContainerSummaryStateEnum::EXITED,
            Phase::Dead => ContainerSummaryStateEnum::DEAD,
        }),
        status: Some(record.state.status(health, now)),
        host_config: Some(ContainerSummaryHostConfig {
            network_mode: Some(network),
            annotations: None,
        }),
        network_settings: Some(ContainerSummaryNetworkSettings {
            networks: Some(networks),
        }),
        mounts: Some(mounts),
        health: None,
        labels: Some(record.config.labels.unwrap_or_default()),
        id: Some(record.id),
    }
}

/// The exposed ports of a running container.
pub(super) fn ports(record: &Record) -> Vec<PortSummary> {
    record
        .config
        .exposed_ports
        .iter()
        .flatten()
        .filter_map(|port| {
            let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
            let typ = match kind {
                "udp" => PortSummaryTypeEnum::UDP,
                "sctp" => PortSummaryTypeEnum::SCTP,
                _ => PortSummaryTypeEnum::TCP,
            };
            Some(PortSummary {
                ip: None,
                private_port: number.parse().ok()?,
                public_port: None,
                typ: Some(typ),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::record::tests::record;

    fn query(all: bool, json: &str) -> Query {
        let filters = Filters::parse(json).unwrap();
        let exited = filters
            .values("exited")
            .iter()
            .map(|code| code.parse().unwrap())
            .collect();
        Query {
            all,
            limit: usize::MAX,
            filters,
            exited,
            before: None,
            since: None,
            ancestors: None,
            networks: Vec::new(),
        }
    }

    fn exited(code: i64) -> Record {
        let mut record = record("abc");
        record.state.phase = Phase::Exited;
        record.state.exit_code = code;
        record
    }

    #[rstest]
    #[case(r#"{"exited":["1"]}"#, true)]
    #[case(r#"{"exited":["0"]}"#, false)]
    #[case(r#"{"status":["exited","running"]}"#, true)]
    #[case(r#"{"status":["running"]}"#, false)]
    #[case(r#"{"name":["ame_a"]}"#, true)]
    #[case(r#"{"name":["^name_abc$"]}"#, true)]
    #[case(r#"{"name":["^ame"]}"#, false)]
    #[case(r#"{"id":["bc"]}"#, true)]
    #[case(r#"{"label":["x"]}"#, false)]
    #[case(r#"{"publish":["80"]}"#, false)]
    fn a_filter_takes_or_leaves(#[case] filter: &str, #[case] taken: bool) {
        assert_eq!(
            query(true, filter).accepts(&exited(1), HealthStatusEnum::NONE),
            taken
        );
    }

    #[test]
    fn without_all_only_running_ones_are_listed() {
        assert!(!query(false, "").accepts(&exited(0), HealthStatusEnum::NONE));
        let mut running = record("r");
        running.state.phase = Phase::Paused;
        assert!(query(false, "").accepts(&running, HealthStatusEnum::NONE));
    }

    #[test]
    fn a_tag_that_moved_on_shows_the_image_id() {
        let mut record = record("a");
        record.config.image = Some("alpine".to_owned());
        let moved = HashMap::from([("alpine".to_owned(), "sha256:11".to_owned())]);
        assert_eq!(
            summary(
                record.clone(),
                HealthStatusEnum::NONE,
                Default::default(),
                &moved,
                0
            )
            .image
            .unwrap(),
            "sha256:00"
        );
        assert_eq!(
            summary(
                record,
                HealthStatusEnum::NONE,
                Default::default(),
                &HashMap::new(),
                0
            )
            .image
            .unwrap(),
            "alpine"
        );
    }

    #[test]
    fn ports_are_shown_as_exposed() {
        let mut record = record("a");
        record.config.exposed_ports =
            Some(vec!["6379/tcp".to_owned(), "53/udp".to_owned(), "bad".to_owned()]);
        let ports = ports(&record);
        assert_eq!(ports.len(), 2);
        assert_eq!((ports[0].private_port, ports[0].public_port), (6379, None));
    }

    proptest! {
        #[test]
        fn more_filters_never_list_more(name in "[a-d_]{0,3}", code in 0i64..3, wanted in 0i64..3) {
            let one = query(true, &format!(r#"{{"name":["{name}"]}}"#));
            let two = query(true, &format!(r#"{{"name":["{name}"],"exited":["{wanted}"]}}"#));
            let record = exited(code);
            prop_assert!(!two.accepts(&record, HealthStatusEnum::NONE) || one.accepts(&record, HealthStatusEnum::NONE));
        }
    }
}
