//! The rows of `images` (docker/cli `cli/command/formatter/image.go`): one for each name.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard_stubs::models::ImageSummary;
use serde_json::{Value, json};

use super::containers::{date, short};
use super::{Header, units};

pub(crate) const DEFAULT_IMAGES: &str =
    "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
pub(crate) const DEFAULT_IMAGES_WITH_DIGEST: &str =
    "table {{.Repository}}\\t{{.Tag}}\\t{{.Digest}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";

pub(crate) const IMAGE_HEADER: &Header = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const NONE: &str = "<none>";

/// One image's rows. `digests` makes a row of each digest.
pub(crate) fn image_rows(image: &ImageSummary, full: bool, digests: bool, now: SystemTime) -> Vec<Value> {
    let names = names(image, digests);
    let created_at = UNIX_EPOCH + Duration::from_secs(u64::try_from(image.created).unwrap_or_default());
    let since = units::duration(now.duration_since(created_at).unwrap_or_default());
    let known = |number: i64| {
        if number < 0 {
            "N/A".to_owned()
        } else {
            units::size(number)
        }
    };
    let row = |(repository, tag, digest): (String, String, String)| {
        json!({
            "ID": if full { image.id.as_str() } else { short(&image.id) },
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "CreatedSince": format!("{since} ago"),
            "CreatedAt": date(image.created),
            "Size": units::size(image.size),
            "VirtualSize": units::size(image.size),
            "Containers": if image.containers < 0 { "N/A".to_owned() } else { image.containers.to_string() },
            "SharedSize": known(image.shared_size),
            "UniqueSize": if image.shared_size < 0 { "N/A".to_owned() } else {
                units::size(image.size.saturating_sub(image.shared_size))
            },
        })
    };
    names.into_iter().map(row).collect()
}

/// Repository, tag and digest of each name.
fn names(image: &ImageSummary, digests: bool) -> Vec<(String, String, String)> {
    let mut by_repository: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for name in image.repo_tags.iter().filter(|name| !name.starts_with(NONE)) {
        if let Some((repository, tag)) = name.rsplit_once(':') {
            by_repository.entry(repository).or_default().0.push(tag);
        }
    }
    for name in image.repo_digests.iter().filter(|name| !name.starts_with(NONE)) {
        if let Some((repository, digest)) = name.split_once('@') {
            by_repository.entry(repository).or_default().1.push(digest);
        }
    }
    let mut rows = Vec::new();
    for (repository, (tags, found)) in by_repository {
        let row = |tag: &str, digest: &str| (repository.to_owned(), tag.to_owned(), digest.to_owned());
        match (tags.as_slice(), found.as_slice()) {
            ([], found) if digests => rows.extend(found.iter().map(|digest| row(NONE, digest))),
            ([], _) => rows.push(row(NONE, NONE)),
            (tags, []) => rows.extend(tags.iter().map(|tag| row(tag, NONE))),
            (tags, found) if digests => {
                rows.extend(
                    tags.iter()
                        .flat_map(|tag| found.iter().map(move |digest| (tag, digest)))
                        .map(|(tag, digest)| row(tag, digest)),
                );
            }
            (tags, _) => rows.extend(tags.iter().map(|tag| row(tag, NONE))),
        }
    }
    if rows.is_empty() {
        rows.push((NONE.to_owned(), NONE.to_owned(), NONE.to_owned()));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Listing;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: "sha256:0123456789abcdef".into(),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            created: 1_000_000 - 86400 * 3,
            size: 7_826_000,
            shared_size: -1,
            containers: -1,
            ..ImageSummary::default()
        }
    }

    fn listed(image: &ImageSummary) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let rows = image_rows(image, false, false, now);
        Listing::new(None, DEFAULT_IMAGES)
            .unwrap()
            .render(IMAGE_HEADER, rows)
            .unwrap()
    }

    #[test]
    fn an_image_has_a_row_for_each_of_its_tags() {
        assert_eq!(
            listed(&image(
                &["localhost:5000/a:1", "localhost:5000/a:2"],
                &["localhost:5000/a@sha256:ff"]
            )),
            "REPOSITORY         TAG       IMAGE ID       CREATED      SIZE\n\
             localhost:5000/a   1         0123456789ab   3 days ago   7.83MB\n\
             localhost:5000/a   2         0123456789ab   3 days ago   7.83MB\n"
        );
    }

    #[test]
    fn an_image_without_names_is_listed_all_the_same() {
        assert!(listed(&image(&[], &[])).contains("<none>       <none>    0123456789ab"));
    }

    #[test]
    fn digests_are_shown_when_asked_for() {
        let rows = image_rows(&image(&["a:1"], &["a@sha256:ff"]), false, true, UNIX_EPOCH);
        assert_eq!((rows.len(), &rows[0]["Digest"]), (1, &Value::from("sha256:ff")));
    }
}
