//! The `prune` commands: what Docker warns of, the question, and what was removed (docker/cli
//! `cli/command/*/prune.go`).

use std::io::{BufRead, IsTerminal, Write};

use bollard_stubs::models::{
    ContainerPruneResponse, ImagePruneResponse, NetworkPruneResponse, VolumePruneResponse,
};
use serde::Deserialize;

use crate::arguments::{PruneArguments, SystemPruneArguments};
use crate::client::{Client, Target};
use crate::commands::filters;
use crate::failure::{Failure, Result};
use crate::format::units;
use crate::output::{line, print};

const CONTAINERS: &str = "WARNING! This will remove all stopped containers.";
const NETWORKS: &str = "WARNING! This will remove all custom networks not used by at least one container.";
const DANGLING_IMAGES: &str = "WARNING! This will remove all dangling images.";
const ALL_IMAGES: &str =
    "WARNING! This will remove all images without at least one container associated to them.";
const ANONYMOUS_VOLUMES: &str =
    "WARNING! This will remove anonymous local volumes not used by at least one container.";
const ALL_VOLUMES: &str = "WARNING! This will remove all local volumes not used by at least one container.";
const QUESTION: &str = "Are you sure you want to continue? [y/N] ";

/// What was removed, as lines under a heading, and the bytes that this gave back.
#[derive(Debug, Default)]
struct Removed {
    lines: Vec<String>,
    bytes: i64,
}

impl Removed {
    fn of(lines: Option<Vec<String>>, bytes: Option<i64>) -> Self {
        Self {
            lines: lines.unwrap_or_default(),
            bytes: bytes.unwrap_or_default(),
        }
    }

    fn told(&self, heading: &str) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        format!("{heading}:\n{}\n\n", self.lines.join("\n"))
    }
}

/// Shows a warning and asks. `false` is a person who does not want it.
fn agreed(warning: &str, force: bool) -> Result<bool> {
    if force {
        return Ok(true);
    }
    print(&format!("{warning}\n{QUESTION}"))?;
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !std::io::stdin().is_terminal() {
        // The answer's own line end is not on the screen.
        line("")?;
    }
    Ok(matches!(answer.trim(), "y" | "Y"))
}

/// What the end of a command tells that was not agreed to: nothing, and it is no failure.
fn reclaimed(bytes: i64) -> String {
    format!("Total reclaimed space: {}\n", units::sum(bytes))
}

/// `container prune`.
pub(crate) async fn containers(client: &Client, arguments: &PruneArguments) -> Result<()> {
    if arguments.all {
        return Err(Failure::new("unknown shorthand flag: 'a' in -a"));
    }
    if !agreed(CONTAINERS, arguments.force)? {
        return Ok(());
    }
    let removed = remove_containers(client, &arguments.filter).await?;
    print(&format!(
        "{}{}",
        removed.told("Deleted Containers"),
        reclaimed(removed.bytes)
    ))
}

/// `image prune`.
pub(crate) async fn images(client: &Client, arguments: &PruneArguments) -> Result<()> {
    let warning = if arguments.all {
        ALL_IMAGES
    } else {
        DANGLING_IMAGES
    };
    if !agreed(warning, arguments.force)? {
        return Ok(());
    }
    let removed = remove_images(client, arguments.all, &arguments.filter).await?;
    print(&format!(
        "{}{}",
        removed.told("Deleted Images"),
        reclaimed(removed.bytes)
    ))
}

/// `volume prune`.
pub(crate) async fn volumes(client: &Client, arguments: &PruneArguments) -> Result<()> {
    let warning = if arguments.all {
        ALL_VOLUMES
    } else {
        ANONYMOUS_VOLUMES
    };
    if !agreed(warning, arguments.force)? {
        return Ok(());
    }
    let mut conditions = arguments.filter.clone();
    if arguments.all {
        conditions.push("all=true".to_owned());
    }
    let removed = remove_volumes(client, &conditions).await?;
    print(&format!(
        "{}{}",
        removed.told("Deleted Volumes"),
        reclaimed(removed.bytes)
    ))
}

/// `network prune`.
pub(crate) async fn networks(client: &Client, arguments: &PruneArguments) -> Result<()> {
    if !agreed(NETWORKS, arguments.force)? {
        return Ok(());
    }
    let removed = remove_networks(client, &arguments.filter).await?;
    print(&removed.told("Deleted Networks"))
}

/// `system prune`.
pub(crate) async fn system(client: &Client, arguments: &SystemPruneArguments) -> Result<()> {
    let SystemPruneArguments { prune, volumes } = arguments;
    if *volumes && prune.filter.iter().any(|filter| filter.starts_with("until=")) {
        return Err(Failure::new(
            "ERROR: The \"until\" filter is not supported with \"--volumes\"",
        ));
    }
    if !agreed(&system_warning(prune, *volumes), prune.force)? {
        return Ok(());
    }
    let mut total: i64 = 0;
    let mut text = String::new();
    let mut note = |removed: Removed, heading: &str| {
        text.push_str(&removed.told(heading));
        total = total.saturating_add(removed.bytes);
    };
    note(
        remove_containers(client, &prune.filter).await?,
        "Deleted Containers",
    );
    note(remove_networks(client, &prune.filter).await?, "Deleted Networks");
    if *volumes {
        note(remove_volumes(client, &prune.filter).await?, "Deleted Volumes");
    }
    note(
        remove_images(client, prune.all, &prune.filter).await?,
        "Deleted Images",
    );
    note(
        remove_build_cache(client, prune.all).await?,
        "Deleted build cache objects",
    );
    print(&format!("{text}{}", reclaimed(total)))
}

fn system_warning(prune: &PruneArguments, volumes: bool) -> String {
    let mut warning =
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least \
                       one container\n"
            .to_owned();
    if volumes {
        warning.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    warning.push_str(if prune.all {
        "  - all images without at least one container associated to them\n  - all build cache\n"
    } else {
        "  - all dangling images\n  - unused build cache\n"
    });
    if !prune.filter.is_empty() {
        warning.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in &prune.filter {
            warning.push_str(&format!("  - {filter}\n"));
        }
    }
    warning
}

async fn remove_containers(client: &Client, conditions: &[String]) -> Result<Removed> {
    let target = Target::new(&["containers", "prune"]).with_some("filters", filters(conditions)?);
    let answer: ContainerPruneResponse = client.post_for(&target).await?;
    Ok(Removed::of(answer.containers_deleted, answer.space_reclaimed))
}

async fn remove_networks(client: &Client, conditions: &[String]) -> Result<Removed> {
    let target = Target::new(&["networks", "prune"]).with_some("filters", filters(conditions)?);
    let answer: NetworkPruneResponse = client.post_for(&target).await?;
    Ok(Removed::of(answer.networks_deleted, None))
}

async fn remove_volumes(client: &Client, conditions: &[String]) -> Result<Removed> {
    let target = Target::new(&["volumes", "prune"]).with_some("filters", filters(conditions)?);
    let answer: VolumePruneResponse = client.post_for(&target).await?;
    Ok(Removed::of(answer.volumes_deleted, answer.space_reclaimed))
}

async fn remove_images(client: &Client, all: bool, conditions: &[String]) -> Result<Removed> {
    let mut conditions = conditions.to_vec();
    conditions.push(format!("dangling={}", !all));
    let target = Target::new(&["images", "prune"]).with_some("filters", filters(&conditions)?);
    let answer: ImagePruneResponse = client.post_for(&target).await?;
    let lines = answer.images_deleted.into_iter().flatten().flat_map(|item| {
        let untagged = item.untagged.filter(|name| !name.is_empty());
        let deleted = item.deleted.filter(|id| !id.is_empty());
        untagged
            .map(|name| format!("untagged: {name}"))
            .into_iter()
            .chain(deleted.map(|id| format!("deleted: {id}")))
    });
    Ok(Removed::of(Some(lines.collect()), answer.space_reclaimed))
}

async fn remove_build_cache(client: &Client, all: bool) -> Result<Removed> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        caches_deleted: Option<Vec<String>>,
        space_reclaimed: Option<i64>,
    }
    let target = Target::new(&["build", "prune"]).with_flag("all", all);
    let answer: Answer = client.post_for(&target).await?;
    Ok(Removed::of(answer.caches_deleted, answer.space_reclaimed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_warning_has_dockers_four_items() {
        let prune = PruneArguments {
            all: false,
            filter: Vec::new(),
            force: false,
        };
        assert_eq!(
            system_warning(&prune, false),
            "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one \
             container\n  - all dangling images\n  - unused build cache\n"
        );
    }

    #[test]
    fn what_was_removed_stands_under_its_heading_and_nothing_has_none() {
        let removed = Removed::of(Some(vec!["a".to_owned(), "b".to_owned()]), Some(1000));
        assert_eq!(
            removed.told("Deleted Containers"),
            "Deleted Containers:\na\nb\n\n"
        );
        assert_eq!(Removed::default().told("Deleted Volumes"), "");
        assert_eq!(reclaimed(removed.bytes), "Total reclaimed space: 1kB\n");
    }
}
