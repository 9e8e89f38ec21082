//! `docker top` (moby `daemon/top_unix.go`): the processes of a container in the columns of ps(1).

use bollard_stubs::models::ContainerTopResponse;
use protocol::{ProcessInfo, Reply, Request};

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::record::Phase;
use crate::time;

/// A column: its title, and what it shows of a process.
type Column = (&'static str, fn(&ProcessInfo, i64) -> String);

const FULL: [Column; 8] = [
    ("UID", |process, _| user(process.uid)),
    ("PID", |process, _| process.pid.to_string()),
    ("PPID", |process, _| process.parent.to_string()),
    ("C", |process, now| (share(process, now) as u64).to_string()),
    ("STIME", |process, now| time::clock(process.start_ns, now)),
    ("TTY", |process, _| terminal(process)),
    ("TIME", |process, _| long_time(process.cpu_ms)),
    ("CMD", |process, _| command(process)),
];
const BSD: [Column; 11] = [
    ("USER", |process, _| user(process.uid)),
    ("PID", |process, _| process.pid.to_string()),
    ("%CPU", |process, now| format!("{:.1}", share(process, now))),
    ("%MEM", |_, _| "0.0".to_owned()),
    ("VSZ", |process, _| (process.virtual_bytes / 1024).to_string()),
    ("RSS", |process, _| (process.resident_bytes / 1024).to_string()),
    ("TTY", |process, _| terminal(process)),
    ("STAT", |process, _| state(process)),
    ("START", |process, now| time::clock(process.start_ns, now)),
    ("TIME", |process, _| short_time(process.cpu_ms)),
    ("COMMAND", |process, _| command(process)),
];

/// The columns that `-o` can name, each with its names.
const NAMED: [(&[&str], Column); 19] = [
    (&["pid"], FULL[1]),
    (&["ppid"], FULL[2]),
    (&["user", "euser", "uname"], BSD[0]),
    (&["uid", "euid"], ("UID", |process, _| process.uid.to_string())),
    (&["gid", "egid"], ("GID", |process, _| process.gid.to_string())),
    (
        &["pgid", "pgrp"],
        ("PGID", |process, _| process.group.to_string()),
    ),
    (
        &["sid", "sess", "session"],
        ("SID", |process, _| process.session.to_string()),
    ),
    (&["c"], FULL[3]),
    (&["pcpu", "%cpu"], BSD[2]),
    (&["pmem", "%mem"], BSD[3]),
    (&["vsz", "vsize"], BSD[4]),
    (&["rss", "rssize"], BSD[5]),
    (&["tty", "tt", "tname"], FULL[5]),
    (&["stat", "state", "s"], BSD[7]),
    (&["ni", "nice"], ("NI", |process, _| process.nice.to_string())),
    (
        &["nlwp", "thcount"],
        ("NLWP", |process, _| process.threads.to_string()),
    ),
    (&["stime", "start", "start_time"], FULL[4]),
    (&["time", "cputime"], FULL[6]),
    (&["cmd", "args", "command"], FULL[7]),
];
const NAME: Column = ("COMMAND", |process, _| process.name.clone());

impl Engine {
    /// The processes of a running container. `arguments` are those of ps(1): `-ef` (also where there are none), `aux`,
    /// or `-o` with columns.
    pub async fn container_top(&self, id: &str, arguments: &str) -> Result<ContainerTopResponse> {
        let columns = columns(arguments)?;
        let container = self.inner.registry.find(id)?;
        if container.with_record(|record| record.state.phase) == Phase::Restarting {
            return Err(EngineError::Conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        let guest = container
            .guest()
            .ok_or_else(|| EngineError::NotRunning(container.id.clone()))?;
        let request = Request::Top {
            container: container.id.clone(),
        };
        let reply = guest
            .request(request)
            .await
            .map_err(|error| container.request_error(error))?;
        let Reply::Processes { processes } = reply else {
            return Err(EngineError::Internal("the guest told no processes".to_owned()));
        };
        let now = time::now();
        let row = |process: &ProcessInfo| columns.iter().map(|(_, show)| show(process, now)).collect();
        self.inner.container_event(&container, "top", []);
        Ok(ContainerTopResponse {
            titles: Some(columns.iter().map(|(title, _)| (*title).to_owned()).collect()),
            processes: Some(processes.iter().map(row).collect()),
        })
    }
}

fn columns(arguments: &str) -> Result<Vec<Column>> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let mut chosen = Vec::new();
    let mut words = words.into_iter();
    let mut all = FULL.to_vec();
    while let Some(word) = words.next() {
        match word {
            "-e" | "-f" | "-ef" | "-A" | "-a" | "ef" => {}
            "aux" | "-aux" | "axu" | "ax" => all = BSD.to_vec(),
            "-o" | "-eo" | "o" | "--format" => {
                let list = words.next().unwrap_or_default();
                chosen.extend(list.split(',').map(named).collect::<Result<Vec<_>>>()?);
            }
            _ => match word.strip_prefix("-o").or_else(|| word.strip_prefix("-eo")) {
                Some(list) if !list.is_empty() => {
                    chosen.extend(list.split(',').map(named).collect::<Result<Vec<_>>>()?);
                }
                _ => {
                    return Err(EngineError::BadRequest(format!(
                        "ps: the argument {word:?} is not known; sampan takes -ef, aux, and -o with columns"
                    )));
                }
            },
        }
    }
    Ok(if chosen.is_empty() { all } else { chosen })
}

fn named(name: &str) -> Result<Column> {
    let lower = name.trim().to_ascii_lowercase();
    if matches!(lower.as_str(), "comm" | "ucmd" | "ucomm") {
        return Ok(NAME);
    }
    NAMED
        .iter()
        .find(|(names, _)| names.contains(&lower.as_str()))
        .map(|(_, column)| *column)
        .ok_or_else(|| {
            EngineError::BadRequest(format!("ps: unknown user-defined format specifier \"{name}\""))
        })
}

fn user(uid: u32) -> String {
    if uid == 0 {
        "root".to_owned()
    } else {
        uid.to_string()
    }
}

fn terminal(process: &ProcessInfo) -> String {
    if process.terminal.is_empty() {
        "?".to_owned()
    } else {
        process.terminal.clone()
    }
}

/// The share of its life that a process spent on a CPU, in percent.
fn share(process: &ProcessInfo, now: i64) -> f64 {
    let lived = now.saturating_sub(process.start_ns).max(1) as f64 / 1e6;
    (process.cpu_ms as f64 / lived * 100.0).clamp(0.0, 9999.0)
}

fn state(process: &ProcessInfo) -> String {
    let mut text = process.state.to_string();
    if process.nice != 0 {
        text.push(if process.nice < 0 { '<' } else { 'N' });
    }
    if process.session == process.pid {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    text
}

fn long_time(ms: u64) -> String {
    let seconds = ms / 1000;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn short_time(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn command(process: &ProcessInfo) -> String {
    if process.arguments.is_empty() {
        format!("[{}]", process.name)
    } else {
        process.arguments.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> ProcessInfo {
        ProcessInfo {
            pid: 7,
            parent: 1,
            session: 7,
            state: 'S',
            cpu_ms: 3_723_000,
            name: "sh".to_owned(),
            arguments: vec!["sh".to_owned(), "-c".to_owned(), "x".to_owned()],
            ..ProcessInfo::default()
        }
    }

    fn shown(arguments: &str) -> (Vec<&'static str>, Vec<String>) {
        let columns = columns(arguments).unwrap();
        let titles = columns.iter().map(|(title, _)| *title).collect();
        (
            titles,
            columns.iter().map(|(_, show)| show(&process(), 0)).collect(),
        )
    }

    #[test]
    fn without_arguments_the_columns_are_those_of_ps_ef() {
        let (titles, row) = shown("");
        assert_eq!(titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(
            (row[0].as_str(), row[5].as_str(), row[6].as_str(), row[7].as_str()),
            ("root", "?", "01:02:03", "sh -c x")
        );
    }

    #[test]
    fn columns_can_be_chosen_by_name() {
        assert_eq!(shown("-eo pid,comm").1, ["7", "sh"]);
        assert_eq!(shown("-o stat").1, ["Ss"]);
        assert!(columns("-o nope").unwrap_err().to_string().contains("nope"));
        assert!(columns("--forest").is_err());
    }
}
