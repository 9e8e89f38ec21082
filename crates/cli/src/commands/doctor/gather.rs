//! What a report is made of: what the service says, and what lies in the home folder. Every part has a bound, and one
//! that cannot be had is a part all the same, with the reason.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, Target};
use crate::credentials;
use crate::redact::Redactor;
use crate::sys;

/// Bytes of the end of a log that are taken.
const LONGEST_LOG: u64 = 1 << 20;
/// Bytes of a settings file that are taken.
const LONGEST_SETTINGS: u64 = 256 << 10;
/// Containers that are told in full.
const MOST_CONTAINERS: usize = 200;
/// Files that are listed.
const MOST_FILES: usize = 20_000;
/// How deep folders are looked into.
const DEEPEST: usize = 8;
/// How long one answer of the service is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Variables that change what sampan does, beside those that name proxies and its own.
const VARIABLES: [&str; 5] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "XDG_DATA_HOME",
    "PATH",
];

/// A file of the report.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    /// What it is, for the index.
    pub(super) what: String,
    /// The content as it was found, or why there is none.
    pub(super) content: Result<Content, String>,
}

/// What was found. It still has its secrets.
#[derive(Debug)]
pub(super) enum Content {
    Text(String),
    Json(Value),
}

impl Part {
    pub(super) fn text(name: &str, what: &str, text: String) -> Self {
        Self::of(name, what, Ok(Content::Text(text)))
    }

    pub(super) fn json(name: &str, what: &str, value: Value) -> Self {
        Self::of(name, what, Ok(Content::Json(value)))
    }

    fn of(name: &str, what: &str, content: Result<Content, String>) -> Self {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            content,
        }
    }
}

/// What the service says. A service that does not answer once is not asked again.
pub(super) async fn from_service(client: &Client, redactor: &mut Redactor) -> Vec<Part> {
    let mut asked = Asked { client, gone: None };
    let mut parts = vec![
        asked
            .part("version.json", "GET /version", &Target::new(&["version"]))
            .await,
        asked
            .part("info.json", "GET /info", &Target::new(&["info"]))
            .await,
    ];
    let containers = asked.containers().await;
    if let Ok(Content::Json(value)) = &containers {
        redactor.learn_json(value);
    }
    parts.push(Part::of(
        "containers.json",
        "every container as `sampan inspect` tells it",
        containers,
    ));
    for (name, what, segments) in [
        ("images.json", "GET /images/json", ["images", "json"].as_slice()),
        ("networks.json", "GET /networks", &["networks"]),
        ("volumes.json", "GET /volumes", &["volumes"]),
    ] {
        parts.push(asked.part(name, what, &Target::new(segments)).await);
    }
    for architecture in ["amd64", "arm64"] {
        let machine = |what| Target::new(&["sampan", "machines", architecture, what]);
        let name = format!("machines/{architecture}.json");
        parts.push(
            asked
                .part(&name, "`sampan machine inspect`", &machine("json"))
                .await,
        );
        parts.push(asked.kernel_log(architecture, &machine("diagnosis")).await);
    }
    parts
}

struct Asked<'a> {
    client: &'a Client,
    /// Why the service is asked no more.
    gone: Option<String>,
}

impl Asked<'_> {
    async fn get(&mut self, target: &Target) -> Result<Value, String> {
        if let Some(gone) = &self.gone {
            return Err(gone.clone());
        }
        match tokio::time::timeout(PATIENCE, self.client.get(target)).await {
            Ok(Ok(value)) => Ok(value),
            // An answer, if none of the hoped-for kind.
            Ok(Err(error)) if error.status().is_some() => Err(error.to_string()),
            Ok(Err(error)) => Err(self.give_up(error.to_string())),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(self.give_up(format!("the service did not answer within {seconds} seconds")))
            }
        }
    }

    fn give_up(&mut self, reason: String) -> String {
        self.gone = Some(reason.clone());
        reason
    }

    async fn part(&mut self, name: &str, what: &str, target: &Target) -> Part {
        Part::of(name, what, self.get(target).await.map(Content::Json))
    }

    async fn containers(&mut self) -> Result<Content, String> {
        let listed = self
            .get(&Target::new(&["containers", "json"]).with_flag("all", true))
            .await?;
        let ids: Vec<&str> = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|container| container.get("Id")?.as_str())
            .take(MOST_CONTAINERS)
            .collect();
        let mut containers = Vec::new();
        for id in ids {
            match self.get(&Target::new(&["containers", id, "json"])).await {
                Ok(container) => containers.push(container),
                // Removed meanwhile.
                Err(reason) => containers.push(json!({ "Id": id, "Missing": reason })),
            }
        }
        Ok(Content::Json(containers.into()))
    }

    async fn kernel_log(&mut self, architecture: &str, target: &Target) -> Part {
        let name = format!("machines/{architecture}-kernel.log");
        let log = self.get(target).await.and_then(|diagnosis| {
            let log = diagnosis.get("KernelLog").and_then(Value::as_str);
            log.map(|log| Content::Text(log.to_owned()))
                .ok_or_else(|| "the answer has none".to_owned())
        });
        Part::of(&name, "the end of the log of the guest's kernel", log)
    }
}

/// What lies on the disk, service or not. Learns the secrets of registries and proxies, none of which go into a report.
pub(super) fn from_disk(home: &Path, redactor: &mut Redactor) -> Vec<Part> {
    for secret in credentials::secrets() {
        redactor.learn(&secret);
    }
    for (name, value) in std::env::vars() {
        if name.to_ascii_uppercase().ends_with("_PROXY") {
            redactor.learn_url(&value);
        }
    }
    let mut parts = vec![
        Part::text(
            "environment.txt",
            "variables that sampan heeds",
            environment(std::env::vars()),
        ),
        file(
            home,
            "config.toml",
            "config.toml",
            "the settings",
            LONGEST_SETTINGS,
        ),
        log(home, "service.log", "service.log", "what the service logged"),
        log(home, "service.log.1", "service.log.1", "what it logged before"),
    ];
    for architecture in ["amd64", "arm64"] {
        for (log_name, what) in [
            ("vmm.log", "what the machine's process logged"),
            ("console.log", "what the guest wrote on its console"),
        ] {
            let path = format!("machines/{architecture}/{log_name}");
            let name = format!("machines/{architecture}-{log_name}");
            parts.push(log(home, &path, &name, what));
        }
    }
    parts.push(Part::text("disk.txt", "the files in SAMPAN_HOME", listing(home)));
    parts
}

fn environment(variables: impl Iterator<Item = (String, String)>) -> String {
    let heeded = |name: &str| {
        VARIABLES.contains(&name)
            || name.starts_with("SAMPAN_")
            || name.to_ascii_uppercase().ends_with("_PROXY")
    };
    let mut lines: Vec<String> = variables
        .filter(|(name, _)| heeded(name))
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    lines.sort();
    lines.concat()
}

fn log(home: &Path, path: &str, name: &str, what: &str) -> Part {
    let name = format!("logs/{name}").replace("logs/machines/", "machines/");
    file(home, path, &name, what, LONGEST_LOG)
}

/// A file's end.
fn file(home: &Path, path: &str, name: &str, what: &str, longest: u64) -> Part {
    let read = end_of(&home.join(path), longest);
    let content = read.map(Content::Text).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is none".to_owned(),
        _ => error.to_string(),
    });
    Part::of(name, what, content)
}

/// The last lines of a file that are whole: half a line may have half a secret that is not known any more as one.
fn end_of(path: &Path, longest: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(longest);
    // The byte before tells whether the first line is whole.
    file.seek(SeekFrom::Start(skipped.saturating_sub(1)))?;
    let mut bytes = Vec::new();
    file.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if skipped == 0 {
        return Ok(text.into_owned());
    }
    let whole = text.split_once('\n').map_or("", |(_, whole)| whole);
    Ok(format!("({skipped} bytes before this are left out)\n{whole}"))
}

/// A line for each file: what it takes on the disk, how long it is, where it is.
fn listing(home: &Path) -> String {
    let mut text = format!("{:>14}  {:>14}  path\n", "on disk", "length");
    let mut left = MOST_FILES;
    list(home, home, 0, &mut left, &mut text);
    if left == 0 {
        text.push_str("... and more\n");
    }
    text
}

fn list(home: &Path, folder: &Path, depth: usize, left: &mut usize, text: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else {
        text.push_str(&format!(
            "{:>14}  {:>14}  {} cannot be read\n",
            "",
            "",
            folder.display()
        ));
        return;
    };
    let mut entries: Vec<_> = entries.flatten().take(MOST_FILES).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = entry.path();
        // Links are told as such, and not followed.
        let Ok(metadata) = entry.metadata() else { continue };
        let shown = path.strip_prefix(home).unwrap_or(&path).display();
        let kind = if metadata.is_dir() { "/" } else { "" };
        text.push_str(&format!(
            "{:>14}  {:>14}  {shown}{kind}\n",
            sys::allocated_bytes(&metadata),
            metadata.len()
        ));
        if metadata.is_dir() && depth < DEEPEST {
            list(home, &path, depth + 1, left, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_whole_lines_at_the_end_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "first\nsecond\nthird\n").unwrap();
        assert_eq!(end_of(&path, 100).unwrap(), "first\nsecond\nthird\n");
        let cut = "(10 bytes before this are left out)\nthird\n";
        assert_eq!(end_of(&path, 9).unwrap(), cut);
        // A line that begins exactly there is whole.
        assert_eq!(end_of(&path, 6).unwrap(), cut.replace("10", "13"));
        fs::write(&path, "one line that is too long").unwrap();
        assert_eq!(end_of(&path, 5).unwrap(), "(20 bytes before this are left out)\n");
    }

    #[test]
    fn what_is_not_there_is_told_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let part = log(folder.path(), "service.log", "service.log", "a log");
        assert_eq!(part.name, "logs/service.log");
        assert_eq!(part.content.unwrap_err(), "there is none");
    }

    #[test]
    fn only_variables_that_sampan_heeds_are_told() {
        let variables = [
            ("SAMPAN_HOME", "/h"),
            ("DOCKER_AUTH_CONFIG", "x"),
            ("https_proxy", "http://p"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            environment(variables.into_iter()),
            "SAMPAN_HOME=/h\nhttps_proxy=http://p\n"
        );
    }

    #[test]
    fn files_are_listed_with_their_lengths_at_every_depth() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("store/layers")).unwrap();
        fs::write(folder.path().join("store/layers/a.erofs"), [0; 4096]).unwrap();
        let text = listing(folder.path());
        assert!(
            text.contains("            4096  store/layers/a.erofs\n"),
            "{text}"
        );
        assert!(text.contains("  store/layers/\n"), "{text}");
    }
}
