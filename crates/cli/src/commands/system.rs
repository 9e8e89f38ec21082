//! `system df`.

use bollard_stubs::models::{ContainerSummary, ContainerSummaryStateEnum, ImageSummary, Volume};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::DiskUsageArguments;
use crate::client::{Client, Target};
use crate::failure::Result;
use crate::format::{Header, Listing, units};
use crate::output::print;

const DEFAULT: &str = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";
const HEADER: &Header = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    layers_size: i64,
    #[serde(default)]
    images: Option<Vec<ImageSummary>>,
    #[serde(default)]
    containers: Option<Vec<ContainerSummary>>,
    #[serde(default)]
    volumes: Option<Vec<Volume>>,
}

/// `sampan system df`.
pub(crate) async fn disk_usage(client: &Client, arguments: DiskUsageArguments) -> Result<()> {
    let listing = Listing::new(arguments.format.as_deref(), DEFAULT)?;
    let usage: Usage = client.get(&Target::new(&["system", "df"])).await?;
    print(&listing.render(HEADER, rows(usage))?)
}

fn rows(usage: Usage) -> Vec<Value> {
    let images = usage.images.unwrap_or_default();
    let containers = usage.containers.unwrap_or_default();
    let volumes = usage.volumes.unwrap_or_default();
    let used = |image: &&ImageSummary| {
        containers
            .iter()
            .any(|container| container.image_id.as_deref() == Some(&image.id))
    };
    let used_bytes: i64 = images
        .iter()
        .filter(used)
        .map(|image| image.size.saturating_sub(image.shared_size.max(0)))
        .fold(0, i64::saturating_add);
    let is_running = |container: &&ContainerSummary| {
        matches!(
            container.state,
            Some(
                ContainerSummaryStateEnum::RUNNING
                    | ContainerSummaryStateEnum::PAUSED
                    | ContainerSummaryStateEnum::RESTARTING
            )
        )
    };
    let written = |containers: &mut dyn Iterator<Item = &ContainerSummary>| {
        containers
            .map(|container| container.size_rw.unwrap_or(0))
            .fold(0, i64::saturating_add)
    };
    let (all, idle) = (
        written(&mut containers.iter()),
        written(&mut containers.iter().filter(|container| !is_running(container))),
    );
    let links = |volume: &&Volume| {
        volume
            .usage_data
            .as_ref()
            .is_some_and(|usage| usage.ref_count > 0)
    };
    let size = |volume: &Volume| volume.usage_data.as_ref().map_or(0, |usage| usage.size.max(0));
    let volume_bytes = volumes.iter().map(size).fold(0, i64::saturating_add);
    let unused_bytes = volumes
        .iter()
        .filter(|volume| !links(volume))
        .map(size)
        .fold(0, i64::saturating_add);
    vec![
        row(
            "Images",
            images.len(),
            images.iter().filter(used).count(),
            usage.layers_size,
            usage.layers_size.saturating_sub(used_bytes).max(0),
        ),
        row(
            "Containers",
            containers.len(),
            containers.iter().filter(is_running).count(),
            all,
            idle,
        ),
        row(
            "Local Volumes",
            volumes.len(),
            volumes.iter().filter(links).count(),
            volume_bytes,
            unused_bytes,
        ),
        row("Build Cache", 0, 0, 0, 0),
    ]
}

fn row(kind: &str, total: usize, active: usize, size: i64, reclaimable: i64) -> Value {
    let share = if size > 0 && kind != "Build Cache" {
        format!(" ({}%)", reclaimable.saturating_mul(100) / size)
    } else {
        String::new()
    };
    json!({
        "Type": kind,
        "TotalCount": total.to_string(),
        "Active": active.to_string(),
        "Size": units::size(size),
        "Reclaimable": format!("{}{share}", units::size(reclaimable)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_container_uses_can_be_reclaimed() {
        let image = |id: &str, size| ImageSummary {
            id: id.to_owned(),
            size,
            ..ImageSummary::default()
        };
        let usage = Usage {
            layers_size: 400,
            images: Some(vec![image("a", 100), image("b", 300)]),
            containers: Some(vec![ContainerSummary {
                image_id: Some("a".to_owned()),
                size_rw: Some(7),
                ..ContainerSummary::default()
            }]),
            volumes: None,
        };
        let text = Listing::new(None, DEFAULT)
            .unwrap()
            .render(HEADER, rows(usage))
            .unwrap();
        assert_eq!(
            text,
            "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n\
             Images          2         1         400B      300B (75%)\n\
             Containers      1         0         7B        7B (100%)\n\
             Local Volumes   0         0         0B        0B\n\
             Build Cache     0         0         0B        0B\n"
        );
    }
}
