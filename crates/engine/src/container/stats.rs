//! `docker stats` (moby `daemon/stats`): the counters of a container's cgroup and interfaces, each answer with those
//! before it, so that a client can tell rates.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard_stubs::models::{
    ContainerBlkioStatEntry, ContainerBlkioStats, ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats,
    ContainerNetworkStats, ContainerPidsStats, ContainerStatsResponse, ContainerThrottlingData,
};
use protocol::{Reply, Request, Usage};
use tokio::sync::mpsc;

use super::Container;
use crate::engine::Engine;
use crate::error::Result;
use crate::time;

/// The time between two answers, as in Docker.
const INTERVAL: Duration = Duration::from_secs(1);

impl Engine {
    /// A container's counters: every second for as long as the receiver lives, or once; without `one_shot` one answer
    /// comes after two looks. One that does not run has none.
    pub async fn container_stats(
        &self,
        id: &str,
        stream: bool,
        one_shot: bool,
    ) -> Result<mpsc::Receiver<ContainerStatsResponse>> {
        let container = self.inner.registry.find(id)?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut before = None;
            loop {
                let now = look(&container).await;
                let first = before.is_none();
                let answer = container.stats(&now, before.as_ref());
                if !first || stream || one_shot || now.usage.is_none() {
                    if sender.send(answer).await.is_err() || !stream {
                        return;
                    }
                    if container.progress.borrow().removed {
                        return;
                    }
                }
                before = Some(now);
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = sender.closed() => return,
                }
            }
        });
        Ok(receiver)
    }
}

/// What was seen at one time.
struct Look {
    at: i64,
    usage: Option<Usage>,
    /// The names of interfaces in the container, by those in the guest.
    interfaces: HashMap<String, String>,
}

async fn look(container: &Arc<Container>) -> Look {
    let interfaces = container.interfaces();
    let mut usage = None;
    if let Some(guest) = container.guest() {
        let request = Request::Usage {
            container: container.id.clone(),
            host_interfaces: interfaces.keys().cloned().collect(),
        };
        if let Ok(Reply::Usage(found)) = guest.request(request).await {
            usage = Some(*found);
        }
    }
    Look {
        at: time::now(),
        usage,
        interfaces,
    }
}

impl Container {
    fn stats(&self, now: &Look, before: Option<&Look>) -> ContainerStatsResponse {
        let (id, name) = self.with_record(|record| (record.id.clone(), format!("/{}", record.name)));
        let Some(usage) = &now.usage else {
            return ContainerStatsResponse {
                id: Some(id),
                name: Some(name),
                read: Some(time::ZERO.to_owned()),
                preread: Some(time::ZERO.to_owned()),
                cpu_stats: Some(no_cpu()),
                precpu_stats: Some(no_cpu()),
                memory_stats: Some(ContainerMemoryStats::default()),
                pids_stats: Some(ContainerPidsStats::default()),
                ..ContainerStatsResponse::default()
            };
        };
        let earlier = before.and_then(|before| Some((before.at, before.usage.as_ref()?)));
        ContainerStatsResponse {
            id: Some(id),
            name: Some(name),
            os_type: Some("linux".to_owned()),
            read: Some(time::rfc3339(now.at)),
            preread: Some(earlier.map_or_else(|| time::ZERO.to_owned(), |(at, _)| time::rfc3339(at))),
            cpu_stats: Some(cpu(usage)),
            precpu_stats: Some(earlier.map_or_else(no_cpu, |(_, usage)| cpu(usage))),
            memory_stats: Some(ContainerMemoryStats {
                usage: Some(usage.memory_bytes),
                limit: Some(usage.memory_limit_bytes),
                failcnt: Some(usage.memory_limit_hits).filter(|hits| *hits > 0),
                stats: Some(usage.memory.clone().into_iter().collect()),
                ..ContainerMemoryStats::default()
            }),
            networks: Some(networks(usage, &now.interfaces)).filter(|networks| !networks.is_empty()),
            pids_stats: Some(ContainerPidsStats {
                current: Some(usage.pids),
                limit: Some(usage.pids_limit.unwrap_or(u64::MAX)),
            }),
            blkio_stats: Some(disks(usage)),
            num_procs: Some(0),
            ..ContainerStatsResponse::default()
        }
    }
}

fn no_cpu() -> ContainerCpuStats {
    ContainerCpuStats {
        cpu_usage: Some(ContainerCpuUsage {
            total_usage: Some(0),
            usage_in_kernelmode: Some(0),
            usage_in_usermode: Some(0),
            percpu_usage: None,
        }),
        throttling_data: Some(ContainerThrottlingData {
            periods: Some(0),
            throttled_periods: Some(0),
            throttled_time: Some(0),
        }),
        ..ContainerCpuStats::default()
    }
}

fn cpu(usage: &Usage) -> ContainerCpuStats {
    let nanoseconds = |key: &str| {
        usage
            .cpu
            .get(key)
            .copied()
            .map(|micros| micros.saturating_mul(1000))
    };
    ContainerCpuStats {
        cpu_usage: Some(ContainerCpuUsage {
            total_usage: nanoseconds("usage_usec"),
            usage_in_kernelmode: nanoseconds("system_usec"),
            usage_in_usermode: nanoseconds("user_usec"),
            percpu_usage: None,
        }),
        system_cpu_usage: Some(usage.machine_cpu_ns),
        online_cpus: Some(usage.online_cpus),
        throttling_data: Some(ContainerThrottlingData {
            periods: Some(usage.cpu.get("nr_periods").copied().unwrap_or(0)),
            throttled_periods: Some(usage.cpu.get("nr_throttled").copied().unwrap_or(0)),
            throttled_time: Some(nanoseconds("throttled_usec").unwrap_or(0)),
        }),
    }
}

fn networks(usage: &Usage, names: &HashMap<String, String>) -> HashMap<String, ContainerNetworkStats> {
    let interfaces = usage.interfaces.iter();
    let named = interfaces.filter_map(|(outer, counters)| {
        let stats = ContainerNetworkStats {
            rx_bytes: Some(counters.received_bytes),
            rx_packets: Some(counters.received_packets),
            rx_errors: Some(counters.received_errors),
            rx_dropped: Some(counters.received_dropped),
            tx_bytes: Some(counters.sent_bytes),
            tx_packets: Some(counters.sent_packets),
            tx_errors: Some(counters.sent_errors),
            tx_dropped: Some(counters.sent_dropped),
            endpoint_id: None,
            instance_id: None,
        };
        Some((names.get(outer)?.clone(), stats))
    });
    named.collect()
}

fn disks(usage: &Usage) -> ContainerBlkioStats {
    type Counter = fn(&protocol::BlockUsage) -> u64;
    let entries = |pairs: [(&str, Counter); 2]| {
        let entries = usage.disks.iter().flat_map(|disk| {
            pairs.map(|(op, value)| ContainerBlkioStatEntry {
                major: Some(disk.major.into()),
                minor: Some(disk.minor.into()),
                op: Some(op.to_owned()),
                value: Some(value(disk)),
            })
        });
        Some(entries.collect::<Vec<_>>()).filter(|entries| !entries.is_empty())
    };
    ContainerBlkioStats {
        io_service_bytes_recursive: entries([
            ("read", |disk| disk.read_bytes),
            ("write", |disk| disk.written_bytes),
        ]),
        io_serviced_recursive: entries([("read", |disk| disk.reads), ("write", |disk| disk.writes)]),
        ..ContainerBlkioStats::default()
    }
}
