//! `diff`, `export`, `top`, `port` and `update`.

use std::io::{IsTerminal, Write};
use std::path::Path;

use bollard_stubs::models::{
    ContainerTopResponse, ContainerUpdateBody, ContainerUpdateResponse, FilesystemChange,
};
use serde_json::Value;

use crate::arguments::{DiffArguments, ExportArguments, PortArguments, TopArguments, UpdateArguments};
use crate::client::{Body, Client, Target};
use crate::commands::Several;
use crate::create;
use crate::failure::{Failure, Result};
use crate::format::table;
use crate::output::{line, print, tell};
use crate::values;

/// `sampan diff`.
pub(crate) async fn diff(client: &Client, arguments: DiffArguments) -> Result<()> {
    let target = Target::new(&["containers", &arguments.container, "changes"]);
    let changes: Option<Vec<FilesystemChange>> = client.get(&target).await?;
    let lines = changes.into_iter().flatten().map(|change| {
        let letter = match change.kind as i32 {
            0 => "C",
            1 => "A",
            _ => "D",
        };
        format!("{letter} {}\n", change.path)
    });
    print(&lines.collect::<String>())
}

/// `sampan export`.
pub(crate) async fn export(client: &Client, arguments: ExportArguments) -> Result<()> {
    if arguments.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::new(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let target = Target::new(&["containers", &arguments.container, "export"]);
    let body = client.get_stream(&target).await?;
    write_out(body, arguments.output.as_deref(), "failed to export container").await
}

/// Writes an archive to stdout, or to a file that takes its name only when it is whole.
pub(crate) async fn write_out(mut body: Body, path: Option<&Path>, what: &str) -> Result<()> {
    let Some(path) = path else {
        let mut stdout = std::io::stdout();
        while let Some(bytes) = body.chunk().await? {
            stdout.write_all(&bytes)?;
        }
        return Ok(stdout.flush()?);
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| Failure::new(format!("{what}: {}: {error}", path.display()));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    while let Some(bytes) = body.chunk().await? {
        file.write_all(&bytes).map_err(failed)?;
    }
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// `sampan top`.
pub(crate) async fn top(client: &Client, arguments: TopArguments) -> Result<()> {
    let options = arguments.options.join(" ");
    let target = Target::new(&["containers", &arguments.container, "top"])
        .with_some("ps_args", (!options.is_empty()).then_some(options));
    let top: ContainerTopResponse = client.get(&target).await?;
    let mut text = String::new();
    for row in top.titles.into_iter().chain(top.processes.into_iter().flatten()) {
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    print(&table::align(&text, table::TOP))
}

/// `sampan port`: the published ports, of which there are none yet.
pub(crate) async fn port(client: &Client, arguments: PortArguments) -> Result<()> {
    let container: Value = client
        .get(&Target::new(&["containers", &arguments.container, "json"]))
        .await?;
    let ports = container
        .pointer("/NetworkSettings/Ports")
        .and_then(Value::as_object);
    let wanted = arguments.port.map(|port| {
        if port.contains('/') {
            port
        } else {
            format!("{port}/tcp")
        }
    });
    let mut found = false;
    for (name, bindings) in ports.into_iter().flatten() {
        for binding in bindings.as_array().into_iter().flatten() {
            let text = |key: &str| binding.get(key).and_then(Value::as_str).unwrap_or_default();
            let place = format!("{}:{}", text("HostIp"), text("HostPort"));
            match &wanted {
                Some(wanted) if wanted != name => continue,
                Some(_) => line(&place)?,
                None => line(&format!("{name} -> {place}"))?,
            }
            found = true;
        }
    }
    match wanted {
        Some(wanted) if !found => Err(Failure::new(format!(
            "Error: No public port '{wanted}' published for {}",
            arguments.container
        ))),
        _ => Ok(()),
    }
}

/// `sampan update`.
pub(crate) async fn update(client: &Client, arguments: UpdateArguments) -> Result<()> {
    let body = update_body(&arguments).map_err(Failure::new)?;
    let mut several = Several::default();
    for name in &arguments.containers {
        let target = Target::new(&["containers", name, "update"]);
        match client.post_json::<ContainerUpdateResponse>(&target, &body).await {
            Ok(answer) => {
                line(name)?;
                answer.warnings.iter().flatten().for_each(|warning| tell(warning));
            }
            Err(error) => several.note(&error),
        }
    }
    several.done()
}

fn update_body(arguments: &UpdateArguments) -> Result<ContainerUpdateBody, String> {
    let size = |text: &Option<String>, flag: &str| create::bounded(text.as_deref(), flag, values::bytes);
    let body = ContainerUpdateBody {
        blkio_weight: arguments.limits.blkio_weight,
        cpu_period: arguments.limits.cpu_period,
        cpu_quota: arguments.limits.cpu_quota,
        cpu_shares: arguments.limits.cpu_shares,
        nano_cpus: create::bounded(arguments.limits.cpus.as_deref(), "--cpus", values::nano_cpus)?,
        cpuset_cpus: arguments.limits.cpuset_cpus.clone(),
        cpuset_mems: arguments.limits.cpuset_mems.clone(),
        memory: size(&arguments.limits.memory, "-m, --memory")?,
        memory_reservation: size(&arguments.limits.memory_reservation, "--memory-reservation")?,
        memory_swap: create::bounded(
            arguments.limits.memory_swap.as_deref(),
            "--memory-swap",
            values::bytes_or_unlimited,
        )?,
        pids_limit: arguments.limits.pids_limit,
        restart_policy: arguments
            .limits
            .restart
            .as_deref()
            .map(create::restart)
            .transpose()?,
        ..ContainerUpdateBody::default()
    };
    if body == ContainerUpdateBody::default() {
        return Err("you must provide one or more flags when using this command".to_owned());
    }
    Ok(body)
}
