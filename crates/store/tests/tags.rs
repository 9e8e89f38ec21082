//! Pulls of all tags of a repository.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::time::Duration;

use common::{archive, platform};
use store::{Patience, PullEvent, Pulled, Reference, Store, StoreConfig, StoreError};
use test_registry::{Faults, Image, Registry};
use tokio::sync::mpsc;

struct Fixture {
    registry: Registry,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Fixture {
    /// With a tag for each of these names, of an image of its own.
    async fn new(tags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig {
            default_platform: platform("linux/amd64"),
            patience: Patience {
                stall: Duration::from_secs(20),
                back_off: Duration::from_millis(1),
                retries: 1,
            },
            ..StoreConfig::new(folder.path())
        })
        .unwrap();
        let registry = Registry::start().await.unwrap();
        for tag in tags {
            registry.put(
                "team/app",
                tag,
                &[Image::new("amd64", &[archive(tag, tag.as_bytes())])],
            );
        }
        Self {
            registry,
            store,
            _folder: folder,
        }
    }

    async fn pull(&self) -> (Result<Vec<Pulled>, StoreError>, Vec<String>) {
        let name = format!("{}/team/app", self.registry.domain());
        let (sender, mut receiver) = mpsc::channel(10_000);
        let repository: Reference = name.parse().unwrap();
        let pulled = self
            .store
            .pull_all(&repository, &platform("linux/amd64"), None, sender)
            .await;
        let mut told = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            match &event {
                PullEvent::Pulling { tag, .. } => told.push(format!("{tag}: {event}")),
                PullEvent::Status(_) => told.push(event.to_string().replace(&name, "NAME")),
                _ => {}
            }
        }
        (pulled, told)
    }

    fn pages(&self) -> usize {
        let requests = self.registry.requests();
        requests
            .iter()
            .filter(|request| request.path.contains("/tags/list"))
            .count()
    }
}

#[tokio::test]
async fn every_tag_is_pulled_in_order_over_all_pages_and_the_outcome_told_once() {
    let fixture = Fixture::new(&["1", "2", "3", "4", "5"]).await;
    fixture.registry.set_faults(Faults {
        tags_page: 2,
        ..Faults::default()
    });
    let (pulled, told) = fixture.pull().await;
    assert_eq!(pulled.unwrap().len(), 5);
    assert_eq!(fixture.pages(), 3);
    let mut expected: Vec<String> = (1..=5)
        .map(|tag| format!("{tag}: Pulling from team/app"))
        .collect();
    expected.push("Status: Downloaded newer image for NAME".to_owned());
    assert_eq!(told, expected);
    assert_eq!(fixture.store.list().unwrap().len(), 5);
    let (_, told) = fixture.pull().await;
    assert_eq!(told.last().unwrap(), "Status: Image is up to date for NAME");
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_told_in_dockers_words() {
    let fixture = Fixture::new(&[]).await;
    let error = fixture.pull().await.0.unwrap_err().to_string();
    assert!(error.starts_with("pull access denied for"), "{error}");
}

#[tokio::test]
async fn a_list_that_never_ends_or_leads_elsewhere_is_given_up() {
    for (next, expected) in [
        ("/v2/team/app/tags/list?n=7", "pages"),
        ("http://127.0.0.2:1/v2/", "elsewhere"),
    ] {
        let fixture = Fixture::new(&["1"]).await;
        fixture.registry.set_faults(Faults {
            tags_next: Some(next.to_owned()),
            ..Faults::default()
        });
        let error = fixture.pull().await.0.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(fixture.store.list().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_first_tag_that_fails_ends_the_pull_and_those_before_it_stay() {
    let fixture = Fixture::new(&["1", "3"]).await;
    fixture.registry.put_manifest("team/app", "2", "{}");
    let (pulled, told) = fixture.pull().await;
    pulled.unwrap_err();
    assert!(!told.iter().any(|line| line.starts_with("3:")), "{told:?}");
    assert_eq!(fixture.store.list().unwrap().len(), 1);
}
