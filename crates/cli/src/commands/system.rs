//! `system df` (docker/cli `cli/command/formatter/disk_usage.go`).

use std::time::SystemTime;

use bollard_stubs::models::{ContainerSummary, ContainerSummaryStateEnum, ImageSummary, Volume};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::DiskUsageArguments;
use crate::client::{Client, Target};
use crate::failure::{Failure, Result};
use crate::format::{
    CONTAINER_HEADER, Header, IMAGE_HEADER, Listing, VOLUME_HEADER, container_row, image_rows, units,
    volume_row,
};
use crate::output::print;

use super::inspect::template;

const DEFAULT: &str = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";
const HEADER: &Header = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

const IMAGES: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t\
                      {{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}";
const CONTAINERS: &str = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t{{.Size}}\\t\
                          {{.RunningFor}}\\t{{.Status}}\\t{{.Names}}";
const VOLUMES: &str = "table {{.Name}}\\t{{.Links}}\\t{{.Size}}";
const BUILD_CACHE: &str = "table {{.ID}}\\t{{.CacheType}}\\t{{.Size}}\\t{{.CreatedSince}}\\t{{.LastUsedSince}}\\t\
                           {{.UsageCount}}\\t{{.Shared}}";
const BUILD_CACHE_HEADER: &Header = &[
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
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
    let format = arguments.format.as_deref().filter(|format| !format.is_empty());
    let target = Target::new(&["system", "df"]);
    if !arguments.verbose {
        let listing = Listing::new(format, DEFAULT)?;
        let usage: Usage = client.get(&target).await?;
        return print(&listing.render(HEADER, rows(usage))?);
    }
    let now = SystemTime::now();
    match template(format.filter(|format| *format != "table"))? {
        None => print(&tables(&client.get(&target).await?, now)?),
        Some(template) => {
            let details = Details::new(&client.get(&target).await?, true, now);
            let text = template
                .render_strict(&details.into())
                .map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
            print(&text)
        }
    }
}

/// The rows of `system df --verbose`.
struct Details {
    images: Vec<Value>,
    containers: Vec<Value>,
    volumes: Vec<Value>,
}

impl Details {
    fn new(usage: &Usage, full: bool, now: SystemTime) -> Self {
        let image = |image: &ImageSummary| {
            // One row each, of the first of its names.
            let mut image = image.clone();
            image.repo_tags.truncate(1);
            image.repo_digests.clear();
            image_rows(&image, full, false, now).into_iter().next()
        };
        let containers = usage.containers.iter().flatten();
        Self {
            images: usage.images.iter().flatten().filter_map(image).collect(),
            containers: containers
                .map(|container| container_row(container, full, now))
                .collect(),
            volumes: usage.volumes.iter().flatten().map(volume_row).collect(),
        }
    }
}

impl From<Details> for Value {
    fn from(details: Details) -> Self {
        json!({
            "Images": details.images,
            "Containers": details.containers,
            "Volumes": details.volumes,
            "BuildCache": [],
        })
    }
}

/// `system df --verbose` without a format of its own.
fn tables(usage: &Usage, now: SystemTime) -> Result<String> {
    let Details {
        images,
        containers,
        volumes,
    } = Details::new(usage, false, now);
    let table = |format, header, rows| Listing::new(None, format)?.render(header, rows);
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage: {}\n\n{}",
        table(IMAGES, IMAGE_HEADER, images)?,
        table(CONTAINERS, CONTAINER_HEADER, containers)?,
        table(VOLUMES, VOLUME_HEADER, volumes)?,
        units::sum(0),
        table(BUILD_CACHE, BUILD_CACHE_HEADER, Vec::new())?,
    ))
}

fn rows(usage: Usage) -> Vec<Value> {
    let images = usage.images.unwrap_or_default();
    let containers = usage.containers.unwrap_or_default();
    let volumes = usage.volumes.unwrap_or_default();
    let used_bytes: i64 = images
        .iter()
        .filter(|image| image.containers != 0 && image.size >= 0 && image.shared_size >= 0)
        .map(|image| image.size.saturating_sub(image.shared_size))
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
            .map(|container| container.size_rw.unwrap_or(0).max(0))
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
            images.iter().filter(|image| image.containers > 0).count(),
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
        "Size": units::sum(size),
        "Reclaimable": format!("{}{share}", units::sum(reclaimable)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bollard_stubs::models::VolumeUsageData;

    use super::*;

    fn usage() -> Usage {
        let image = |name: &str, size, containers| ImageSummary {
            id: format!("sha256:{}", name.repeat(12)),
            repo_tags: vec![format!("{name}:1"), format!("{name}:2")],
            size,
            shared_size: 0,
            containers,
            ..ImageSummary::default()
        };
        let volume = |name: &str, size, ref_count| Volume {
            name: name.to_owned(),
            usage_data: Some(VolumeUsageData { size, ref_count }),
            ..Volume::default()
        };
        Usage {
            layers_size: 400,
            images: Some(vec![image("a", 100, 1), image("b", 300, 0)]),
            containers: Some(vec![ContainerSummary {
                id: Some("c".repeat(64)),
                names: Some(vec!["/web".to_owned()]),
                image: Some("a:1".to_owned()),
                command: Some("ping localhost".to_owned()),
                status: Some("Created".to_owned()),
                size_rw: Some(7),
                size_root_fs: Some(107),
                ..ContainerSummary::default()
            }]),
            volumes: Some(vec![volume("data", 30, 1), volume("old", 10, 0)]),
        }
    }

    #[test]
    fn what_no_container_uses_can_be_reclaimed() {
        let text = Listing::new(None, DEFAULT)
            .unwrap()
            .render(HEADER, rows(usage()))
            .unwrap();
        assert_eq!(
            text,
            "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n\
             Images          2         1         400B      300B (75%)\n\
             Containers      1         0         7B        7B (100%)\n\
             Local Volumes   2         1         40B       10B (25%)\n\
             Build Cache     0         0         0B        0B\n"
        );
    }

    #[test]
    fn the_details_are_a_table_for_each_kind() {
        let text = tables(&usage(), UNIX_EPOCH + Duration::from_secs(300)).unwrap();
        assert_eq!(
            text,
            "Images space usage:\n\n\
             REPOSITORY   TAG       IMAGE ID       CREATED         SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS\n\
             a            1         aaaaaaaaaaaa   5 minutes ago   100B      0B            100B          1\n\
             b            1         bbbbbbbbbbbb   5 minutes ago   300B      0B            300B          0\n\
             \nContainers space usage:\n\n\
             CONTAINER ID   IMAGE     COMMAND            LOCAL VOLUMES   SIZE                CREATED         STATUS    NAMES\n\
             cccccccccccc   a:1       \"ping localhost\"   0               7B (virtual 107B)   5 minutes ago   Created   web\n\
             \nLocal Volumes space usage:\n\n\
             VOLUME NAME   LINKS     SIZE\n\
             data          1         30B\n\
             old           0         10B\n\
             \nBuild cache usage: 0B\n\n\
             CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n"
        );
    }

    #[test]
    fn the_details_can_go_through_a_template() {
        let details = Details::new(&usage(), true, UNIX_EPOCH);
        let template = template(Some(
            "{{range .Volumes}}{{.Name}}={{.Size}} {{end}}{{len .BuildCache}}",
        ))
        .unwrap()
        .unwrap();
        assert_eq!(
            template.render_strict(&details.into()).unwrap(),
            "data=30B old=10B 0"
        );
    }
}
