//! `ps` and `images`.

use std::time::SystemTime;

use bollard_stubs::models::{ContainerSummary, ImageHistoryResponseItem, ImageSummary};

use crate::arguments::{HistoryArguments, ImagesArguments, PsArguments};
use crate::client::{Client, Target};
use crate::commands::filters;
use crate::failure::Result;
use crate::format::{
    CONTAINER_HEADER, DEFAULT_CONTAINERS, DEFAULT_HISTORY, DEFAULT_HISTORY_EXACT, DEFAULT_IMAGES,
    DEFAULT_IMAGES_WITH_DIGEST, HISTORY_HEADER, IMAGE_HEADER, Listing, container_row, history_row,
    image_rows,
};
use crate::output::print;

const QUIET: &str = "{{.ID}}";

/// `sampan ps`.
pub(crate) async fn containers(client: &Client, arguments: PsArguments) -> Result<()> {
    let mut default = DEFAULT_CONTAINERS.to_owned();
    if arguments.size {
        default.push_str("\\t{{.Size}}");
    }
    let format = if arguments.quiet && arguments.format.as_deref().is_none_or(|format| format == "table") {
        Some(QUIET)
    } else {
        arguments.format.as_deref()
    };
    let listing = Listing::new(format, &default)?;
    let last = if arguments.latest { Some(1) } else { arguments.last };
    let target = Target::new(&["containers", "json"])
        .with_flag("all", arguments.all || last.is_some_and(|last| last > 0))
        .with_some("limit", last.filter(|last| *last > 0))
        .with_flag("size", arguments.size || listing.uses("Size"))
        .with_some("filters", filters(&arguments.filter)?);
    let containers: Vec<ContainerSummary> = client.get(&target).await?;
    let now = SystemTime::now();
    let rows = containers
        .iter()
        .map(|container| container_row(container, arguments.no_trunc, now));
    print(&listing.render(CONTAINER_HEADER, rows)?)
}

/// `sampan images`.
pub(crate) async fn images(client: &Client, arguments: ImagesArguments) -> Result<()> {
    let default = if arguments.digests {
        DEFAULT_IMAGES_WITH_DIGEST
    } else {
        DEFAULT_IMAGES
    };
    let format = if arguments.quiet {
        Some(QUIET)
    } else {
        arguments.format.as_deref()
    };
    let listing = Listing::new(format, default)?;
    let mut conditions = arguments.filter.clone();
    conditions.extend(
        arguments
            .repository
            .iter()
            .map(|name| format!("reference={name}")),
    );
    let target = Target::new(&["images", "json"])
        .with_flag("all", arguments.all)
        .with_some("filters", filters(&conditions)?);
    let mut images: Vec<ImageSummary> = client.get(&target).await?;
    // The newest first; of one age by name, so that the order does not change.
    images.sort_by(|a, b| {
        b.created
            .cmp(&a.created)
            .then_with(|| a.repo_tags.cmp(&b.repo_tags))
    });
    let now = SystemTime::now();
    let digests = arguments.digests || listing.uses("Digest");
    let rows = images
        .iter()
        .flat_map(|image| image_rows(image, arguments.no_trunc, digests, now));
    let text = listing.render(IMAGE_HEADER, rows)?;
    if arguments.quiet {
        return print(&unique_lines(&text));
    }
    print(&text)
}

/// IDs once each, though an image has a row for each of its names.
fn unique_lines(text: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    let lines = text.lines().filter(|line| seen.insert(*line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// `sampan history`.
pub(crate) async fn history(client: &Client, arguments: HistoryArguments) -> Result<()> {
    let format = if arguments.quiet && arguments.format.is_none() {
        Some(QUIET)
    } else {
        arguments.format.as_deref()
    };
    let default = if arguments.human {
        DEFAULT_HISTORY
    } else {
        DEFAULT_HISTORY_EXACT
    };
    let listing = Listing::new(format, default)?;
    let target = Target::new(&["images", &arguments.image, "history"])
        .with_some("platform", arguments.platform.as_deref());
    let steps: Vec<ImageHistoryResponseItem> = client.get(&target).await?;
    let now = SystemTime::now();
    let rows = steps
        .iter()
        .map(|step| history_row(step, arguments.no_trunc, arguments.human, now));
    print(&listing.render(HISTORY_HEADER, rows)?)
}
