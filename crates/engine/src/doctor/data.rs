//! The data: records, images and their layers, and what was left half done.

use std::collections::HashSet;
use std::sync::Arc;

use store::{Checkup, Flaw};

use super::{count, size};
use crate::engine::Inner;
use crate::error::Result;
use crate::record::Record;
use crate::state::Unreadable;
use crate::types::Finding;

/// Findings of one kind that are told one by one; the rest is counted.
const MOST_TOLD: usize = 20;

pub(super) async fn findings(inner: &Arc<Inner>) -> Vec<Finding> {
    let records: Vec<Record> = inner
        .registry
        .all()
        .iter()
        .map(|container| container.record())
        .collect();
    let mut findings = vec![readable(records.len(), &inner.unreadable)];
    let checked = inner
        .blocking(|inner| Ok((inner.store.check()?, image_ids(inner)?)))
        .await;
    match checked {
        Ok((checkup, images)) => {
            findings.extend(told(lost(inner, &records, &images)));
            findings.extend(told(store(&checkup)));
            findings.push(leftovers(&checkup));
        }
        Err(error) => findings.push(Finding::error(
            "images",
            format!("the store of images cannot be read: {error}"),
            "`sampan service stop`, move the folder store in SAMPAN_HOME away, and pull the images again",
        )),
    }
    findings
}

fn image_ids(inner: &Inner) -> Result<HashSet<String>> {
    let ids = inner.store.ids()?;
    Ok(ids.iter().map(ToString::to_string).collect())
}

fn readable(containers: usize, unreadable: &Unreadable) -> Finding {
    let kinds = [
        (unreadable.containers.len(), "container"),
        (unreadable.volumes, "volume"),
        (unreadable.networks, "network"),
    ];
    let lost: Vec<String> = kinds
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| count(number, what))
        .collect();
    if lost.is_empty() {
        return Finding::ok(
            "records",
            format!("the database is readable; {}", count(containers, "container")),
        );
    }
    Finding::error(
        "records",
        format!("the records of {} cannot be understood", lost.join(", ")),
        "a newer sampan may have written them: install that one; they and their files are left alone until then",
    )
}

/// Containers whose image, volume or network is gone.
fn lost(inner: &Inner, records: &[Record], images: &HashSet<String>) -> Vec<Finding> {
    let volume = |name: &str| inner.volumes.get(name).is_some();
    let network = |name: &str| inner.networks.find(name).is_ok();
    records
        .iter()
        .flat_map(|record| incomplete(record, images, volume, network))
        .collect()
}

fn incomplete(
    record: &Record,
    images: &HashSet<String>,
    volume: impl Fn(&str) -> bool,
    network: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let name = &record.name;
    let finding = |what: String, advice: String| {
        Finding::warning(
            "containers",
            format!("{name} cannot be started again: {what} is gone"),
            advice,
        )
    };
    let remove = format!("or remove it with `sampan rm {name}`");
    let mut findings = Vec::new();
    if !images.contains(&record.image_id) {
        let image = record.image_name();
        findings.push(finding(
            format!("its image {image}"),
            format!("get the image back (`sampan pull {image}`, if it is the same still), {remove}"),
        ));
    }
    let gone = record.volumes.iter().filter(|mount| !volume(&mount.name));
    findings.extend(gone.map(|mount| {
        finding(
            format!("its volume {}", mount.name),
            format!(
                "make it again with `sampan volume create {}`, {remove}",
                mount.name
            ),
        )
    }));
    let gone = record
        .networks
        .iter()
        .filter(|(_, endpoint)| !network(&endpoint.network));
    findings.extend(gone.map(|(network, _)| {
        finding(
            format!("its network {network}"),
            format!("`sampan network disconnect -f {network} {name}`, {remove}"),
        )
    }));
    findings
}

fn store(checkup: &Checkup) -> Vec<Finding> {
    if checkup.flaws.is_empty() {
        return vec![Finding::ok(
            "images",
            format!(
                "{} with {}, each with its files",
                count(checkup.images, "image"),
                count(checkup.layers, "layer")
            ),
        )];
    }
    checkup
        .flaws
        .iter()
        .map(|flaw| Finding::error("images", flaw.to_string(), advice(flaw)))
        .collect()
}

fn advice(flaw: &Flaw) -> String {
    match flaw {
        Flaw::Missing { image, path } if path.extension().is_some_and(|kind| kind == "recipe") => format!(
            "containers run without it, `sampan save` and `push` do not: delete {} and `sampan pull {image}`",
            path.with_extension("erofs").display()
        ),
        Flaw::Missing { image, .. } => format!("`sampan pull {image}` fetches it again"),
        Flaw::Damaged { image, path, .. } => {
            format!("delete {} and `sampan pull {image}`", path.display())
        }
        Flaw::NoConfig { image } => format!("`sampan pull {image}` brings it back"),
        Flaw::Dangling { name } => format!("`sampan pull {name}` brings it back"),
    }
}

fn leftovers(checkup: &Checkup) -> Finding {
    let (unneeded, partial) = (checkup.unneeded, checkup.partial);
    if unneeded.files + partial.files == 0 {
        return Finding::ok(
            "leftovers",
            "no half-done download, and no layer that no image needs",
        );
    }
    Finding::ok(
        "leftovers",
        format!(
            "{} ({}) and {} without an image ({}): the next pull takes them up, and a service that starts a day later \
             deletes them",
            count(partial.files, "half-done download"),
            size(partial.bytes),
            count(unneeded.files, "layer"),
            size(unneeded.bytes)
        ),
    )
}

/// No more of them than a person reads.
fn told(mut findings: Vec<Finding>) -> Vec<Finding> {
    let more = findings.len().saturating_sub(MOST_TOLD);
    findings.truncate(MOST_TOLD);
    if let (true, Some(last)) = (more > 0, findings.last().cloned()) {
        findings.push(Finding::new(
            last.severity,
            last.subject,
            format!("{more} more of this kind"),
            "do the same for them; `sampan doctor` then tells the rest",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use store::Pile;

    use super::*;
    use crate::record::VolumeMount;
    use crate::record::tests::record;
    use crate::types::Severity;

    #[test]
    fn records_that_are_not_understood_are_an_error_and_counted() {
        let good = readable(2, &Unreadable::default());
        assert_eq!(good.finding, "the database is readable; 2 containers");
        let bad = readable(
            2,
            &Unreadable {
                containers: vec!["abc".to_owned()],
                volumes: 3,
                networks: 0,
            },
        );
        assert_eq!(bad.severity, Severity::Error);
        assert_eq!(
            bad.finding,
            "the records of 1 container, 3 volumes cannot be understood"
        );
    }

    #[test]
    fn a_container_whose_image_or_volume_is_gone_is_told() {
        let mut record = record("abc");
        record.networks.clear();
        record.volumes = vec![VolumeMount {
            name: "data".to_owned(),
            target: "/data".to_owned(),
            read_only: false,
            copy_up: true,
            subpath: None,
            mode: String::new(),
        }];
        let images = HashSet::from([record.image_id.clone()]);
        assert_eq!(incomplete(&record, &images, |_| true, |_| true), []);
        let findings = incomplete(&record, &HashSet::new(), |_| false, |_| true);
        let told: Vec<_> = findings.iter().map(|finding| finding.finding.as_str()).collect();
        assert!(told.len() == 2 && told[0].contains("its image"), "{told:?}");
        assert!(told[1].ends_with("its volume data is gone"), "{told:?}");
        assert!(
            findings[1]
                .advice
                .starts_with("make it again with `sampan volume create data`")
        );
    }

    #[test]
    fn each_flaw_of_an_image_is_an_error_that_says_how_to_mend_it() {
        let image = "alpine:latest".to_owned();
        let flaws = vec![
            Flaw::Missing {
                image: image.clone(),
                path: "/s/a.erofs".into(),
            },
            Flaw::Missing {
                image: image.clone(),
                path: "/s/a.recipe".into(),
            },
            Flaw::Damaged {
                image: image.clone(),
                path: "/s/b.erofs".into(),
                reason: "short".to_owned(),
            },
            Flaw::NoConfig { image },
        ];
        let bad = store(&Checkup {
            flaws,
            ..Checkup::default()
        });
        assert!(bad.iter().all(|finding| finding.severity == Severity::Error));
        assert!(
            bad.iter()
                .all(|finding| finding.advice.contains("`sampan pull alpine:latest`"))
        );
        assert!(bad[1].advice.contains("delete /s/a.erofs"), "{bad:?}");
        assert!(bad[2].advice.contains("delete /s/b.erofs"), "{bad:?}");
        let good = store(&Checkup {
            images: 1,
            layers: 3,
            ..Checkup::default()
        });
        assert_eq!(good[0].finding, "1 image with 3 layers, each with its files");
    }

    #[test]
    fn leftovers_are_told_with_when_they_go() {
        let none = leftovers(&Checkup::default());
        assert!(none.finding.starts_with("no half-done download"));
        let some = leftovers(&Checkup {
            partial: Pile {
                files: 1,
                bytes: 3 << 20,
            },
            ..Checkup::default()
        });
        assert!(
            some.finding
                .starts_with("1 half-done download (3.0 MiB) and 0 layers"),
            "{some:?}"
        );
        assert_eq!(some.severity, Severity::Ok);
    }

    #[test]
    fn a_long_list_is_cut_and_its_rest_counted() {
        let many = |number| told(vec![Finding::error("images", "flaw", ""); number]);
        assert_eq!(many(MOST_TOLD).len(), MOST_TOLD);
        let cut = many(MOST_TOLD + 5);
        assert_eq!(cut.len(), MOST_TOLD + 1);
        assert_eq!(cut[MOST_TOLD].finding, "5 more of this kind");
        assert_eq!(cut[MOST_TOLD].severity, Severity::Error);
    }
}
