//! `stats` (docker/cli `cli/command/container/stats.go` and `formatter_stats.go`).

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use bollard_stubs::models::{ContainerStatsResponse, ContainerSummary};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::arguments::StatsArguments;
use crate::client::{Client, ClientError, Target};
use crate::failure::Result;
use crate::format::{Header, Listing, units};
use crate::output::print;

const DEFAULT: &str = "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";
const HEADER: &Header = &[
    ("ID", "CONTAINER ID"),
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];
/// How often the list is written anew: more often than the engine answers, less often than an eye minds.
const REFRESH: Duration = Duration::from_millis(500);

/// `sampan stats`.
pub(crate) async fn run(client: &Client, arguments: StatsArguments) -> Result<()> {
    let listing = Listing::new(arguments.format.as_deref(), DEFAULT)?;
    let names = match arguments.containers.as_slice() {
        [] => {
            let target = Target::new(&["containers", "json"]).with_flag("all", arguments.all);
            let listed: Vec<ContainerSummary> = client.get(&target).await?;
            listed.into_iter().filter_map(|container| container.id).collect()
        }
        names => names.to_vec(),
    };
    let (sender, mut answers) = mpsc::channel(64);
    for name in &names {
        let (client, name, sender) = (client.clone(), name.clone(), sender.clone());
        let stream = !arguments.no_stream;
        tokio::spawn(async move {
            if let Err(error) = follow(&client, &name, stream, &sender).await {
                let _ = sender.send((name, Err(error))).await;
            }
        });
    }
    drop(sender);
    let mut shown: BTreeMap<usize, Value> = BTreeMap::new();
    let row = |name: &str, answer: &ContainerStatsResponse| row(name, answer, arguments.no_trunc);
    let place = |name: &str| names.iter().position(|known| known == name).unwrap_or(usize::MAX);
    if arguments.no_stream {
        while let Some((name, answer)) = answers.recv().await {
            shown.insert(place(&name), row(&name, &answer?));
        }
        return print(&listing.render(HEADER, shown.into_values())?);
    }
    loop {
        let refresh = tokio::time::sleep(REFRESH);
        tokio::pin!(refresh);
        loop {
            tokio::select! {
                answer = answers.recv() => match answer {
                    Some((name, Ok(answer))) => drop(shown.insert(place(&name), row(&name, &answer))),
                    Some((_, Err(error))) => return Err(error.into()),
                    None => return Ok(()),
                },
                () = &mut refresh => break,
            }
        }
        let text = listing.render(HEADER, shown.values().cloned())?;
        if std::io::stdout().is_terminal() {
            // Home, each line cleared to its end, and everything below.
            print(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")))?;
        } else {
            print(&text)?;
        }
    }
}

type Answer = (String, Result<ContainerStatsResponse, ClientError>);

async fn follow(
    client: &Client,
    name: &str,
    stream: bool,
    sender: &mpsc::Sender<Answer>,
) -> Result<(), ClientError> {
    let target = Target::new(&["containers", name, "stats"]).with("stream", u8::from(stream));
    let mut lines = client.get_stream(&target).await?.lines();
    while let Some(line) = lines.next().await? {
        let answer = serde_json::from_slice(&line).map_err(|error| ClientError::Answer(error.to_string()))?;
        if sender.send((name.to_owned(), Ok(answer))).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn row(name: &str, stats: &ContainerStatsResponse, full: bool) -> Value {
    let id = stats.id.as_deref().unwrap_or_default();
    let memory = stats.memory_stats.clone().unwrap_or_default();
    // What the kernel keeps of files and can drop at any time is not counted.
    let inactive = memory
        .stats
        .as_ref()
        .and_then(|stats| stats.get("inactive_file").copied())
        .unwrap_or(0);
    let used = memory.usage.unwrap_or(0).saturating_sub(inactive);
    let limit = memory.limit.unwrap_or(0);
    let (mut received, mut sent) = (0u64, 0u64);
    for counters in stats.networks.iter().flat_map(|networks| networks.values()) {
        received = received.saturating_add(counters.rx_bytes.unwrap_or(0));
        sent = sent.saturating_add(counters.tx_bytes.unwrap_or(0));
    }
    let (mut read, mut written) = (0u64, 0u64);
    let disks = stats
        .blkio_stats
        .as_ref()
        .and_then(|disks| disks.io_service_bytes_recursive.as_ref());
    for entry in disks.into_iter().flatten() {
        let value = entry.value.unwrap_or(0);
        match entry.op.as_deref() {
            Some("read") => read = read.saturating_add(value),
            Some("write") => written = written.saturating_add(value),
            _ => {}
        }
    }
    let bytes = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    json!({
        "ID": if full { id } else { id.get(..12).unwrap_or(id) },
        "Container": name,
        "Name": stats.name.as_deref().unwrap_or_default().trim_start_matches('/'),
        "CPUPerc": format!("{:.2}%", cpu_share(stats)),
        "MemUsage": format!("{} / {}", units::binary_size(bytes(used)), units::binary_size(bytes(limit))),
        "MemPerc": format!("{:.2}%", percent(used, limit)),
        "NetIO": format!("{} / {}", units::size(bytes(received)), units::size(bytes(sent))),
        "BlockIO": format!("{} / {}", units::size(bytes(read)), units::size(bytes(written))),
        "PIDs": stats.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or(0).to_string(),
    })
}

#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64 * 100.0
    }
}

/// The share of one CPU that was used between the last two looks.
fn cpu_share(stats: &ContainerStatsResponse) -> f64 {
    let look = |cpu: &Option<bollard_stubs::models::ContainerCpuStats>| {
        let cpu = cpu.clone().unwrap_or_default();
        let used = cpu.cpu_usage.and_then(|usage| usage.total_usage).unwrap_or(0);
        (
            used,
            cpu.system_cpu_usage.unwrap_or(0),
            cpu.online_cpus.unwrap_or(1),
        )
    };
    let (now, machine_now, cpus) = look(&stats.cpu_stats);
    let (before, machine_before, _) = look(&stats.precpu_stats);
    if machine_before == 0 {
        return 0.0;
    }
    percent(
        now.saturating_sub(before),
        machine_now.saturating_sub(machine_before),
    ) * f64::from(cpus)
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ContainerCpuStats, ContainerCpuUsage};

    use super::*;

    #[test]
    fn the_share_of_the_cpu_is_that_between_two_looks() {
        let look = |used, machine| ContainerCpuStats {
            cpu_usage: Some(ContainerCpuUsage {
                total_usage: Some(used),
                ..ContainerCpuUsage::default()
            }),
            system_cpu_usage: Some(machine),
            online_cpus: Some(2),
            ..ContainerCpuStats::default()
        };
        let stats = ContainerStatsResponse {
            precpu_stats: Some(look(100, 1000)),
            cpu_stats: Some(look(350, 2000)),
            ..ContainerStatsResponse::default()
        };
        assert_eq!(row("x", &stats, false)["CPUPerc"], "50.00%");
        assert_eq!(
            row("x", &ContainerStatsResponse::default(), false)["CPUPerc"],
            "0.00%"
        );
    }
}
