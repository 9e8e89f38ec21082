//! Pushes to a registry that behaves, and to one that does not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{USER, archive, credentials, noise, platform};
use proptest::prelude::*;
use store::{
    Credentials, ErrorKind, Mirror, Patience, Push, PushEvent, Reference, Store, StoreConfig, StoreError,
};
use test_registry::{Auth, Faults, Image, Registry, Request};
use tokio::sync::mpsc;

fn image() -> Image {
    Image::new(
        "amd64",
        &[archive("big", &noise(1_200_000)), archive("hello", b"hello")],
    )
}

/// A store with an image, and a registry that has never seen it.
struct Fixture {
    folder: tempfile::TempDir,
    config: StoreConfig,
    store: Store,
    origin: Registry,
    target: Registry,
}

impl Fixture {
    /// The image is `team/app:1` in its registry of origin, and has the name `team/copy:2` in the other.
    async fn new(image: Image) -> Self {
        Self::with_patience(image, Duration::from_secs(20), 3).await
    }

    async fn with_patience(image: Image, stall: Duration, retries: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), stall, retries);
        let fixture = Self {
            store: Store::open(config.clone()).unwrap(),
            folder,
            config,
            origin: Registry::start().await.unwrap(),
            target: Registry::start().await.unwrap(),
        };
        fixture.origin.put("team/app", "1", &[image]);
        let origin = reference(&fixture.origin, "team/app:1");
        let pulled = pull(&fixture.store, &origin).await;
        fixture.store.tag(pulled.as_str(), &fixture.copy()).unwrap();
        fixture
    }

    fn copy(&self) -> Reference {
        reference(&self.target, "team/copy:2")
    }

    async fn push(&self) -> (Result<(), StoreError>, Vec<PushEvent>) {
        push(&self.store, self.copy(), None).await
    }

    /// Files that no push may leave.
    fn leftovers(&self) -> Vec<String> {
        let entries = self.folder.path().join("tmp").read_dir().unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn config(folder: &Path, stall: Duration, retries: u32) -> StoreConfig {
    let mut config = StoreConfig::new(folder);
    config.default_platform = platform("linux/amd64");
    config.patience = Patience {
        stall,
        back_off: Duration::from_millis(1),
        retries,
    };
    config
}

fn reference(registry: &Registry, name: &str) -> Reference {
    format!("{}/{name}", registry.domain()).parse().unwrap()
}

/// The ID of the image that a reference leads to.
async fn pull(store: &Store, reference: &Reference) -> String {
    let (sender, _events) = mpsc::channel(10_000);
    let pulled = store
        .pull(reference, &platform("linux/amd64"), None, sender)
        .await;
    pulled.unwrap().image.id.to_string()
}

async fn push(
    store: &Store,
    reference: Reference,
    credentials: Option<&Credentials>,
) -> (Result<(), StoreError>, Vec<PushEvent>) {
    let push = Push {
        reference,
        all_tags: false,
        platform: None,
    };
    push_all(store, &push, credentials).await
}

async fn push_all(
    store: &Store,
    push: &Push,
    credentials: Option<&Credentials>,
) -> (Result<(), StoreError>, Vec<PushEvent>) {
    let (sender, mut receiver) = mpsc::channel(10_000);
    let result = store.push(push, credentials, sender).await;
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    (result, events)
}

/// What an empty store finds behind a reference.
async fn pulled_afresh(reference: &Reference) -> String {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(config(folder.path(), Duration::from_secs(20), 3)).unwrap();
    pull(&store, reference).await
}

fn count(events: &[PushEvent], text: &str) -> usize {
    events.iter().filter(|event| event.to_string() == text).count()
}

/// Blobs that were sent to a registry.
fn sent(registry: &Registry) -> usize {
    let is_blob = |request: &Request| request.method == "PUT" && request.path.contains("/blobs/uploads/");
    registry
        .requests()
        .iter()
        .filter(|request| is_blob(request))
        .count()
}

#[tokio::test]
async fn a_push_tells_its_course_in_dockers_words_and_the_image_is_pulled_again() {
    let fixture = Fixture::new(image()).await;
    let (result, events) = fixture.push().await;
    result.unwrap();
    let domain = fixture.target.domain();
    assert_eq!(
        events[0].to_string(),
        format!("The push refers to repository [{domain}/team/copy]")
    );
    assert_eq!(count(&events, "Preparing"), 2, "{events:?}");
    assert_eq!(count(&events, "Pushed"), 2, "{events:?}");
    let image = fixture.store.find(&fixture.copy().familiar(), None).unwrap();
    let top = image.layers[1].diff_id.short().to_owned();
    assert_eq!(events[1], PushEvent::Preparing { id: top });
    let whole = events.iter().any(
        |event| matches!(event, PushEvent::Pushing { current, total, .. } if current == total && *total > 1 << 20),
    );
    assert!(whole, "{events:?}");
    let PushEvent::Tagged { tag, digest, size } = events.last().unwrap() else {
        panic!("{events:?}");
    };
    assert_eq!(
        events.last().unwrap().to_string(),
        format!("2: digest: {digest} size: {size}")
    );
    assert_eq!(tag, "2");

    assert!(
        image
            .repo_digests
            .contains(&format!("{domain}/team/copy@{digest}"))
    );
    assert_eq!(pulled_afresh(&fixture.copy()).await, image.id.to_string());
    let by_digest = reference(&fixture.target, &format!("team/copy@{digest}"));
    assert_eq!(pulled_afresh(&by_digest).await, image.id.to_string());
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
}

#[tokio::test]
async fn a_layer_that_the_registry_has_is_not_sent_again() {
    // Compressed as sampan does not compress: gzip in two members.
    let mut odd = image();
    let big = archive("big", &noise(1_200_000));
    let (one, two) = big.split_at(1000);
    odd.layers[0] = [test_registry::gzip(one), test_registry::gzip(two)]
        .concat()
        .into();
    let fixture = Fixture::new(odd).await;
    // Known from the pull, in the form that the registry has.
    let again = reference(&fixture.origin, "team/again:1");
    fixture.store.tag(&fixture.copy().familiar(), &again).unwrap();
    let (result, events) = push(&fixture.store, again.clone(), None).await;
    result.unwrap();
    assert_eq!(count(&events, "Layer already exists"), 2, "{events:?}");
    assert_eq!(sent(&fixture.origin), 0);
    pulled_afresh(&again).await;

    // Known from the first push, for another registry got other bytes.
    fixture.push().await.0.unwrap();
    assert_eq!(sent(&fixture.target), 3);
    let (result, events) = fixture.push().await;
    result.unwrap();
    assert_eq!(count(&events, "Layer already exists"), 2, "{events:?}");
    assert_eq!(sent(&fixture.target), 3);

    // Still known after the image was pulled again, and after the store was closed.
    pull(&fixture.store, &reference(&fixture.origin, "team/app:1")).await;
    let Fixture {
        store,
        config,
        origin,
        target,
        folder: _folder,
    } = fixture;
    drop(store);
    let store = Store::open(config).unwrap();
    for (registry, reference) in [(&origin, again), (&target, reference(&target, "team/copy:2"))] {
        let before = sent(registry);
        let (result, events) = push(&store, reference, None).await;
        result.unwrap();
        assert_eq!(count(&events, "Layer already exists"), 2, "{events:?}");
        assert_eq!(sent(registry), before);
    }
}

#[tokio::test]
async fn a_layer_of_a_kind_that_only_oci_knows_is_pushed_as_it_is() {
    let plain = [archive("one", b"one"), archive("two", b"two")];
    let mut image = Image::new("amd64", &plain);
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    image.layers[1] = ruzstd::encoding::compress_to_vec(plain[1].as_slice(), level).into();
    let fixture = Fixture::new(image).await;
    let again = reference(&fixture.origin, "team/again:1");
    fixture.store.tag(&fixture.copy().familiar(), &again).unwrap();
    let (result, events) = push(&fixture.store, again.clone(), None).await;
    result.unwrap();
    assert_eq!(count(&events, "Layer already exists"), 2, "{events:?}");
    let id = fixture.store.find(&again.familiar(), None).unwrap().id;
    assert_eq!(pulled_afresh(&again).await, id.to_string());
}

#[tokio::test]
async fn all_tags_of_a_repository_are_pushed_and_no_others() {
    let fixture = Fixture::new(image()).await;
    let name = fixture.copy().familiar();
    let other = reference(&fixture.target, "team/other:9");
    for tag in [reference(&fixture.target, "team/copy:3"), other.clone()] {
        fixture.store.tag(&name, &tag).unwrap();
    }
    let push = Push {
        reference: reference(&fixture.target, "team/copy"),
        all_tags: true,
        platform: None,
    };
    let (result, events) = push_all(&fixture.store, &push, None).await;
    result.unwrap();
    let tags: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            PushEvent::Tagged { tag, .. } => Some(tag.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(tags, ["2", "3"]);
    assert_eq!(count(&events, "Layer already exists"), 2, "{events:?}");
    let manifests = |registry: &Registry| -> Vec<String> {
        let requests = registry.requests().into_iter();
        let puts = requests.filter(|request| request.method == "PUT" && request.path.contains("/manifests/"));
        puts.map(|request| request.path).collect()
    };
    assert_eq!(
        manifests(&fixture.target),
        ["/v2/team/copy/manifests/2", "/v2/team/copy/manifests/3"]
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_in_dockers_words_and_nobody_is_asked() {
    let fixture = Fixture::new(image()).await;
    let domain = fixture.target.domain();
    let digest = fixture.store.list().unwrap()[0].repo_digests[0].clone();
    let digest = digest.split_once('@').unwrap().1;
    for (name, text) in [
        (
            "team/none:2".to_owned(),
            format!("An image does not exist locally with the tag: {domain}/team/none"),
        ),
        (
            "team/copy:3".to_owned(),
            format!("tag does not exist: {domain}/team/copy:3"),
        ),
        (
            format!("team/copy@{digest}"),
            format!("cannot push a digest reference: push {domain}/team/copy by a tag"),
        ),
    ] {
        let (result, events) = push(&fixture.store, reference(&fixture.target, &name), None).await;
        assert_eq!(result.unwrap_err().to_string(), text);
        assert_eq!(events.len(), 1);
    }
    let push = Push {
        reference: fixture.copy(),
        all_tags: false,
        platform: Some(platform("linux/s390x")),
    };
    let error = push_all(&fixture.store, &push, None).await.0.unwrap_err();
    assert!(matches!(error, StoreError::WrongPlatform { .. }), "{error}");
    assert!(fixture.target.requests().is_empty());
}

#[tokio::test]
async fn passwords_and_tokens_are_given_when_asked_for_and_wrong_ones_are_told() {
    let fixture = Fixture::new(image()).await;
    for auth in [Auth::Basic(USER.to_owned()), Auth::Bearer(Some(USER.to_owned()))] {
        fixture.target.set_auth(auth);
        for credentials in [None, Some(&credentials("wrong"))] {
            let error = push(&fixture.store, fixture.copy(), credentials)
                .await
                .0
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
            let text = error.to_string();
            let start = format!("push access denied for {}", fixture.copy().familiar_name());
            assert!(text.starts_with(&start), "{text}");
            assert!(text.contains("unauthorized: "), "{text}");
        }
        assert_eq!(sent(&fixture.target), 0);
        assert!(fixture.leftovers().is_empty());
    }
    let (result, _) = push(&fixture.store, fixture.copy(), Some(&credentials("pass"))).await;
    result.unwrap();
    let asked = fixture.target.requests().into_iter();
    let mut asked = asked
        .filter(|request| request.path.starts_with("/token"))
        .peekable();
    assert!(asked.peek().is_some());
    assert!(asked.all(|request| {
        request
            .path
            .contains("scope=repository%3Ateam%2Fcopy%3Apull%2Cpush")
    }));
}

#[tokio::test]
async fn a_registry_that_lets_nobody_write_is_told_and_leaves_nothing() {
    let fixture = Fixture::new(image()).await;
    fixture.target.set_faults(Faults {
        refuse_uploads: true,
        ..Faults::default()
    });
    let error = fixture.push().await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        error
            .to_string()
            .ends_with("denied: requested access to the resource is denied"),
        "{error}"
    );
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
}

#[tokio::test]
async fn an_upload_that_breaks_off_or_is_forgotten_begins_again() {
    let fixture = Fixture::new(image()).await;
    for faults in [
        Faults {
            cut_uploads: 2,
            ..Faults::default()
        },
        Faults {
            forget_uploads: 1,
            ..Faults::default()
        },
    ] {
        fixture.target.set_faults(faults);
        let tag = reference(&fixture.target, "team/copy:2");
        let (result, events) = push(&fixture.store, tag, None).await;
        result.unwrap();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, PushEvent::Retrying { .. })),
            "{events:?}"
        );
        assert_eq!(
            pulled_afresh(&fixture.copy()).await,
            fixture.store.list().unwrap()[0].id.to_string()
        );
        fixture.target.forget_blobs();
    }
}

#[tokio::test]
async fn a_registry_that_never_recovers_or_never_answers_gives_one_clear_error() {
    let fixture = Fixture::with_patience(image(), Duration::from_millis(300), 0).await;
    fixture.target.set_faults(Faults {
        cut_uploads: usize::MAX,
        ..Faults::default()
    });
    let error = fixture.push().await.0.unwrap_err().to_string();
    assert!(error.contains("check the network"), "{error}");
    fixture.target.set_faults(Faults {
        stall_uploads: usize::MAX,
        ..Faults::default()
    });
    let error = fixture.push().await.0.unwrap_err().to_string();
    assert!(
        error.contains("/blobs/uploads/") && error.contains("no answer in time"),
        "{error}"
    );
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
}

#[tokio::test]
async fn a_manifest_that_arrives_as_another_is_told() {
    let fixture = Fixture::new(image()).await;
    fixture.target.set_faults(Faults {
        other_digest: true,
        ..Faults::default()
    });
    let error = fixture.push().await.0.unwrap_err().to_string();
    assert!(error.contains("the registry kept the manifest as"), "{error}");
    assert_eq!(fixture.store.list().unwrap()[0].repo_digests.len(), 1);
}

#[tokio::test]
async fn a_push_that_is_dropped_leaves_no_file() {
    let fixture = Fixture::new(image()).await;
    fixture.target.set_faults(Faults {
        stall_uploads: usize::MAX,
        ..Faults::default()
    });
    let (sender, mut events) = mpsc::channel(1000);
    {
        let push = Push {
            reference: fixture.copy(),
            all_tags: false,
            platform: None,
        };
        let pushing = fixture.store.push(&push, None, sender);
        tokio::pin!(pushing);
        loop {
            tokio::select! {
                _ = &mut pushing => panic!("the push ended though the registry stalls"),
                event = events.recv() => {
                    if matches!(event, Some(PushEvent::Pushing { .. })) {
                        break;
                    }
                }
            }
        }
    }
    // A worker may still be on its way out.
    while !fixture.leftovers().is_empty() {
        tokio::task::yield_now().await;
    }
    fixture.target.set_faults(Faults::default());
    fixture.push().await.0.unwrap();
}

#[tokio::test]
async fn a_mirror_is_not_pushed_to_and_a_registry_that_is_not_there_is_named() {
    let mut fixture = Fixture::new(image()).await;
    let mirror = Registry::start().await.unwrap();
    fixture.config.mirrors = vec![Mirror {
        domain: fixture.target.domain(),
        urls: vec![format!("http://{}", mirror.domain())],
    }];
    drop(fixture.store);
    fixture.store = Store::open(fixture.config.clone()).unwrap();
    let (result, _) = push(&fixture.store, reference(&fixture.target, "team/copy:2"), None).await;
    result.unwrap();
    assert!(mirror.requests().is_empty());

    let nowhere: Reference = "127.0.0.1:1/app:1".parse().unwrap();
    let id = fixture.store.list().unwrap()[0].id.to_string();
    fixture.store.tag(&id, &nowhere).unwrap();
    let error = push(&fixture.store, nowhere, None)
        .await
        .0
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("127.0.0.1:1") && error.contains("try again"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_image_is_the_same_after_a_push_and_a_pull(
        files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20_000), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let archives: Vec<Vec<u8>> = files.iter().map(|data| archive("file", data)).collect();
            let fixture = Fixture::new(Image::new("amd64", &archives)).await;
            fixture.push().await.0.unwrap();
            let id = fixture.store.list().unwrap()[0].id.to_string();
            assert_eq!(pulled_afresh(&fixture.copy()).await, id);
        });
    }
}
