//! Pulls from a registry that behaves, and from one that does not.

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
use store::{
    Credentials, Limits, Mirror, Patience, PullEvent, Pulled, Reference, Removal, Store, StoreConfig,
    StoreError,
};
use test_registry::{Auth, Faults, Image, Registry};
use tokio::sync::mpsc;

fn image(architecture: &str) -> Image {
    let big = archive("big", &noise(300_000));
    Image::new(architecture, &[big, archive("hello", architecture.as_bytes())])
}

struct Fixture {
    folder: tempfile::TempDir,
    registry: Registry,
    config: StoreConfig,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::new(folder.path());
        config.default_platform = platform("linux/amd64");
        config.patience = Patience {
            stall: Duration::from_secs(20),
            back_off: Duration::from_millis(1),
            retries: 3,
        };
        Self {
            folder,
            registry: Registry::start().await.unwrap(),
            config,
        }
    }

    fn store(&self) -> Store {
        Store::open(self.config.clone()).unwrap()
    }

    fn reference(&self) -> Reference {
        format!("{}/team/app:1", self.registry.domain()).parse().unwrap()
    }

    async fn pull(&self, store: &Store) -> Result<Pulled, StoreError> {
        self.pull_as(store, "linux/amd64", None).await.0
    }

    async fn pull_as(
        &self,
        store: &Store,
        wanted: &str,
        credentials: Option<&Credentials>,
    ) -> (Result<Pulled, StoreError>, Vec<PullEvent>) {
        let (sender, mut receiver) = mpsc::channel(10_000);
        let result = store
            .pull(&self.reference(), &platform(wanted), credentials, sender)
            .await;
        let mut events = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            events.push(event);
        }
        (result, events)
    }

    /// Files of the store that a failed pull may not leave. Downloads that were given up may stay in `ingest`: they
    /// are what the next pull goes on from.
    fn leftovers(&self) -> Vec<String> {
        ["layers", "tmp"]
            .iter()
            .flat_map(|folder| names(&self.folder.path().join(folder)))
            .collect()
    }
}

fn names(folder: &Path) -> Vec<String> {
    folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn a_pull_tells_its_course_in_dockers_words_and_a_second_one_is_up_to_date() {
    let fixture = Fixture::new().await;
    let digest = fixture
        .registry
        .put("team/app", "1", &[image("amd64"), image("arm64")]);
    let store = fixture.store();
    let (pulled, events) = fixture.pull_as(&store, "linux/amd64", None).await;
    let pulled = pulled.unwrap();
    assert!(pulled.newer);
    assert_eq!(pulled.digest.as_str(), digest);
    let name = fixture.reference().familiar();
    assert_eq!(pulled.image.repo_tags, std::slice::from_ref(&name));
    assert_eq!(
        pulled.image.config.cmd.as_deref(),
        Some(["/hello".to_owned()].as_slice())
    );
    let told: Vec<String> = events.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "Pulling from team/app");
    for text in [
        "Pulling fs layer",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ] {
        assert_eq!(
            told.iter().filter(|line| *line == text).count(),
            2,
            "{text}: {told:?}"
        );
    }
    assert_eq!(told[told.len() - 2], format!("Digest: {digest}"));
    assert_eq!(
        told[told.len() - 1],
        format!("Status: Downloaded newer image for {name}")
    );
    for layer in &pulled.image.layers {
        assert_eq!(layer.path.metadata().unwrap().len(), layer.length);
    }

    let (again, events) = fixture.pull_as(&store, "linux/amd64", None).await;
    assert!(!again.unwrap().newer);
    assert_eq!(
        events.last().unwrap().to_string(),
        format!("Status: Image is up to date for {name}")
    );
    assert!(names(&fixture.folder.path().join("ingest")).is_empty());
}

#[tokio::test]
async fn images_of_two_platforms_live_under_one_name_and_share_layers() {
    let fixture = Fixture::new().await;
    fixture
        .registry
        .put("team/app", "1", &[image("amd64"), image("arm64")]);
    let store = fixture.store();
    let amd64 = fixture.pull(&store).await.unwrap().image;
    let arm64 = fixture
        .pull_as(&store, "linux/arm64", None)
        .await
        .0
        .unwrap()
        .image;
    assert_ne!(amd64.id, arm64.id);
    assert_eq!(amd64.layers[0], arm64.layers[0]);
    let name = fixture.reference().familiar();
    assert_eq!(store.find(&name, None).unwrap().id, amd64.id);
    assert_eq!(
        store.find(&name, Some(&platform("linux/arm64/v8"))).unwrap().id,
        arm64.id
    );
    assert!(matches!(
        store.find(&name, Some(&platform("linux/s390x"))),
        Err(StoreError::WrongPlatform { .. })
    ));
    assert_eq!(names(&fixture.folder.path().join("layers")).len(), 6);

    // Removing one by its ID leaves what the other needs.
    let removed = store.remove(amd64.id.as_str(), &[], false).unwrap();
    assert!(
        removed.contains(&Removal::Deleted(amd64.id.to_string())),
        "{removed:?}"
    );
    assert_eq!(names(&fixture.folder.path().join("layers")).len(), 4);
    assert!(arm64.layers[0].path.exists());
    assert_eq!(store.find(&name, None).unwrap().id, arm64.id);
    store.remove(&name, &[], false).unwrap();
    assert!(store.list().unwrap().is_empty());
    assert!(fixture.leftovers().is_empty());
}

#[tokio::test]
async fn images_are_found_by_name_digest_id_and_prefix_and_stay_after_reopening() {
    let fixture = Fixture::new().await;
    let digest = fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    let id = fixture.pull(&store).await.unwrap().image.id;
    store.tag(id.as_str(), &"other:2".parse().unwrap()).unwrap();
    assert!(matches!(
        Store::open(fixture.config.clone()),
        Err(StoreError::Locked(_))
    ));
    drop(store);
    let store = fixture.store();
    let repository = fixture.reference().familiar_name();
    for name in [
        &fixture.reference().familiar(),
        &format!("{repository}@{digest}"),
        id.as_str(),
        id.hex(),
        &id.hex()[..4],
        "other:2",
        "docker.io/library/other:2",
    ] {
        assert_eq!(store.find(name, None).unwrap().id, id, "{name}");
    }
    assert_eq!(
        store.find("absent", None).unwrap_err().to_string(),
        "No such image: absent:latest"
    );
    let error = store.remove(id.as_str(), &[], false).unwrap_err().to_string();
    assert!(error.contains("must be forced"), "{error}");
    assert_eq!(
        store.remove("other:2", &[], false).unwrap(),
        [Removal::Untagged("other:2".to_owned())]
    );
    assert_eq!(store.list().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_digest_a_wrong_diff_id_and_a_bomb_are_refused_and_leave_nothing() {
    let mut fixture = Fixture::new().await;
    fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    fixture.registry.set_faults(Faults {
        alter_layers: true,
        ..Faults::default()
    });
    let error = fixture.pull(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::WrongDigest { .. }), "{error}");
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());

    fixture.registry.set_faults(Faults::default());
    let mut lying = image("amd64");
    lying.diff_ids[1] = test_registry::sha256(b"something else");
    fixture.registry.put("team/app", "1", &[lying]);
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("image config promises"), "{error}");
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());

    drop(store);
    fixture.config.limits = Limits {
        ratio_floor: 1 << 20,
        ratio: 50,
        ..Limits::default()
    };
    let store = fixture.store();
    fixture.registry.put(
        "team/app",
        "1",
        &[Image::new("amd64", &[archive("zeros", &vec![0; 8 << 20])])],
    );
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("decompression bomb"), "{error}");
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
    assert!(store.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_hostile_name_in_a_layer_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let mut bytes = archive("aa/escaped", b"x");
    bytes[..10].copy_from_slice(b"../escaped");
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&bytes[..512]);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    fixture
        .registry
        .put("team/app", "1", &[Image::new("amd64", &[bytes])]);
    let store = fixture.store();
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("leads out of the layer"), "{error}");
    assert!(fixture.leftovers().is_empty());
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let fixture = Fixture::new().await;
    fixture.registry.put(
        "team/app",
        "1",
        &[Image::new("amd64", &[archive("big", &noise(900_000))])],
    );
    fixture.registry.set_faults(Faults {
        cut: (2, 300_000),
        ..Faults::default()
    });
    let store = fixture.store();
    let (pulled, events) = fixture.pull_as(&store, "linux/amd64", None).await;
    pulled.unwrap();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, PullEvent::Retrying { .. })),
        "{events:?}"
    );
    let ranges: Vec<String> = fixture
        .registry
        .requests()
        .into_iter()
        .filter_map(|request| request.range)
        .collect();
    assert_eq!(ranges, ["bytes=300000-", "bytes=600000-"]);
}

#[tokio::test]
async fn a_registry_without_ranges_and_one_that_stalls_are_survived() {
    let mut fixture = Fixture::new().await;
    fixture.config.patience = Patience {
        stall: Duration::from_secs(2),
        ..fixture.config.patience
    };
    fixture.registry.put(
        "team/app",
        "1",
        &[Image::new("amd64", &[archive("big", &noise(900_000))])],
    );
    let faults = Faults {
        cut: (1, 500_000),
        stall: (1, 300_000),
        no_ranges: true,
        ..Faults::default()
    };
    fixture.registry.set_faults(faults);
    fixture.pull(&fixture.store()).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_never_recovers_gives_one_clear_error() {
    let fixture = Fixture::new().await;
    fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    fixture.registry.set_faults(Faults {
        errors: 2,
        ..Faults::default()
    });
    fixture.pull(&store).await.unwrap();
    fixture.registry.set_faults(Faults {
        errors: usize::MAX,
        ..Faults::default()
    });
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(
        error.contains("answered 500 (out of order); try again later"),
        "{error}"
    );
    let asked = fixture.registry.requests().len();
    assert!(asked < 20, "{asked} requests");
}

#[tokio::test]
async fn a_pull_that_was_dropped_is_taken_up_by_the_next_process() {
    let mut fixture = Fixture::new().await;
    fixture.registry.put(
        "team/app",
        "1",
        &[Image::new("amd64", &[archive("big", &noise(2_000_000))])],
    );
    fixture.registry.set_faults(Faults {
        stall: (1, 1_200_000),
        ..Faults::default()
    });
    fixture.config.patience = Patience {
        stall: Duration::from_secs(600),
        ..fixture.config.patience
    };
    let store = fixture.store();
    let (sender, mut events) = mpsc::channel(1000);
    {
        let (reference, platform) = (fixture.reference(), platform("linux/amd64"));
        let pull = store.pull(&reference, &platform, None, sender);
        tokio::pin!(pull);
        loop {
            tokio::select! {
                _ = &mut pull => panic!("the pull ended though the registry stalls"),
                event = events.recv() => {
                    if matches!(event, Some(PullEvent::Downloading { current, .. }) if current >= 1 << 19) {
                        break;
                    }
                }
            }
        }
    }
    // The store is closed when the last worker has let go of it.
    drop(store);
    let store = loop {
        match Store::open(fixture.config.clone()) {
            Ok(store) => break store,
            Err(StoreError::Locked(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(store.list().unwrap().is_empty());
    fixture.pull(&store).await.unwrap();
    let ranges: Vec<String> = fixture
        .registry
        .requests()
        .into_iter()
        .filter_map(|request| request.range)
        .collect();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert_eq!(names(&fixture.folder.path().join("ingest")).len(), 0);
}

#[tokio::test]
async fn damage_in_a_leftover_costs_one_fresh_download_and_no_more() {
    let fixture = Fixture::new().await;
    let image = Image::new("amd64", &[archive("big", &noise(100_000))]);
    let hex = test_registry::sha256(&image.layers[0]).replace("sha256:", "");
    fixture.registry.put("team/app", "1", &[image]);
    let store = fixture.store();
    std::fs::write(fixture.folder.path().join("ingest").join(hex), vec![7; 50_000]).unwrap();
    fixture.pull(&store).await.unwrap();
}

#[tokio::test]
async fn manifests_that_are_huge_missing_or_for_others_are_told_apart() {
    let fixture = Fixture::new().await;
    let store = fixture.store();
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "pull access denied for {}, repository does not exist or may require 'docker login'",
            fixture.reference().familiar_name()
        )),
        "{error}"
    );
    fixture
        .registry
        .put("team/app", "2", &[image("arm64"), image("riscv64")]);
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "manifest for {} not found: manifest unknown: manifest unknown",
            fixture.reference().familiar()
        )
    );
    fixture
        .registry
        .put("team/app", "1", &[image("arm64"), image("riscv64")]);
    let error = fixture
        .pull_as(&store, "linux/s390x", None)
        .await
        .0
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "no matching manifest for linux/s390x in the manifest list entries"
    );
    fixture.registry.put("team/app", "1", &[image("arm64")]);
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("linux/arm64 only"), "{error}");
    fixture.registry.set_faults(Faults {
        manifest_padding: 5 << 20,
        ..Faults::default()
    });
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("over the limit of 4194304 bytes"), "{error}");
    fixture.registry.set_faults(Faults::default());
    fixture
        .registry
        .put_manifest("team/app", "1", "{\"schemaVersion\":1}");
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("schema 1"), "{error}");
    assert!(fixture.leftovers().is_empty());
}

#[tokio::test]
async fn passwords_and_tokens_are_given_when_asked_for() {
    let fixture = Fixture::new().await;
    fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    for auth in [Auth::Basic(USER.to_owned()), Auth::Bearer(Some(USER.to_owned()))] {
        fixture.registry.set_auth(auth);
        let error = fixture.pull(&store).await.unwrap_err();
        assert!(matches!(error, StoreError::AccessDenied(..)), "{error}");
        fixture
            .pull_as(&store, "linux/amd64", Some(&credentials("pass")))
            .await
            .0
            .unwrap();
    }
    fixture.registry.set_auth(Auth::Bearer(None));
    fixture.pull(&store).await.unwrap();
}

#[tokio::test]
async fn credentials_go_to_no_other_host_and_to_no_plain_token_server() {
    let fixture = Fixture::new().await;
    let other = Registry::start().await.unwrap();
    for registry in [&fixture.registry, &other] {
        registry.put("team/app", "1", &[image("amd64")]);
    }
    fixture.registry.set_auth(Auth::Basic(USER.to_owned()));
    let faults = Faults {
        redirect_blobs: Some(format!("http://{}", other.domain())),
        ..Faults::default()
    };
    fixture.registry.set_faults(faults);
    let store = fixture.store();
    fixture
        .pull_as(&store, "linux/amd64", Some(&credentials("pass")))
        .await
        .0
        .unwrap();
    assert!(!other.requests().is_empty());
    assert!(
        other
            .requests()
            .iter()
            .all(|request| request.authorization.is_none())
    );
    assert!(
        fixture
            .registry
            .requests()
            .iter()
            .any(|request| request.authorization.is_some())
    );

    fixture
        .registry
        .set_auth(Auth::Realm("http://token.example/token".to_owned()));
    let error = fixture
        .pull_as(&store, "linux/amd64", Some(&credentials("pass")))
        .await
        .0
        .unwrap_err()
        .to_string();
    assert!(error.contains("must be reached by HTTPS"), "{error}");
    fixture.registry.set_auth(Auth::None);
    fixture.registry.set_faults(Faults {
        redirect_loop: true,
        ..Faults::default()
    });
    let error = fixture.pull(&store).await.unwrap_err().to_string();
    assert!(error.contains("redirects more than"), "{error}");
}

#[tokio::test]
async fn mirrors_come_first_and_the_registry_serves_what_they_do_not() {
    let mut fixture = Fixture::new().await;
    let mirror = Registry::start().await.unwrap();
    let urls = vec![
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", mirror.domain()),
    ];
    fixture.config.mirrors = vec![Mirror {
        domain: fixture.registry.domain(),
        urls,
    }];
    fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    fixture.pull(&store).await.unwrap();
    assert!(!mirror.requests().is_empty());
    let asked = fixture.registry.requests().len();
    mirror.put("team/app", "1", &[image("amd64")]);
    fixture.pull(&store).await.unwrap();
    assert_eq!(fixture.registry.requests().len(), asked);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let fixture = Fixture::new().await;
    let store = fixture.store();
    let (sender, _events) = mpsc::channel(10);
    let reference = "127.0.0.1:1/app:1".parse().unwrap();
    let error = store
        .pull(&reference, &platform("linux/amd64"), None, sender)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("127.0.0.1:1") && error.contains("try again"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_saved_is_loaded_again_as_the_same_image() {
    let fixture = Fixture::new().await;
    fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    let pulled = fixture.pull(&store).await.unwrap().image;
    let name = fixture.reference().familiar();
    let mut saved = Vec::new();
    store
        .save(std::slice::from_ref(&name), &[], &mut saved)
        .await
        .unwrap();
    store.remove(&name, &[], false).unwrap();
    assert!(fixture.leftovers().is_empty());
    for archive in [saved.clone(), test_registry::gzip(&saved)] {
        let (sender, _events) = mpsc::channel(100);
        let loaded = store.load(archive.as_slice(), &[], sender).await.unwrap();
        assert_eq!(loaded[0].to_string(), format!("Loaded image: {name}"));
        let again = store.find(&name, None).unwrap();
        assert_eq!(
            (again.id, again.layers),
            (pulled.id.clone(), pulled.layers.clone())
        );
        let mut resaved = Vec::new();
        store
            .save(std::slice::from_ref(&name), &[], &mut resaved)
            .await
            .unwrap();
        assert!(resaved == saved);
    }
    assert!(matches!(
        store.save(&["absent".to_owned()], &[], &mut Vec::new()).await,
        Err(StoreError::NoSuchImage(_))
    ));
}

#[tokio::test]
async fn archives_and_removals_can_be_of_some_platforms_of_a_name() {
    let fixture = Fixture::new().await;
    fixture
        .registry
        .put("team/app", "1", &[image("amd64"), image("arm64")]);
    let store = fixture.store();
    let amd64 = fixture.pull(&store).await.unwrap().image.id;
    let (pulled, _) = fixture.pull_as(&store, "linux/arm64", None).await;
    let arm64 = pulled.unwrap().image.id;
    let name = fixture.reference().familiar();
    let names = std::slice::from_ref(&name);
    let both = [platform("linux/amd64"), platform("linux/arm64")];
    let [of_amd64, of_arm64] = both.clone().map(|platform| [platform]);
    let other = [platform("linux/s390x")];
    let images = || -> Vec<_> { store.list().unwrap().into_iter().map(|image| image.id).collect() };
    let mut saved = Vec::new();
    store.save(names, &both, &mut saved).await.unwrap();
    assert!(matches!(
        store.save(names, &other, &mut Vec::new()).await,
        Err(StoreError::WrongPlatform { .. })
    ));
    assert!(matches!(
        store.remove(&name, &other, false),
        Err(StoreError::WrongPlatform { .. })
    ));
    // The name stays with the other one.
    let removed = store.remove(&name, &of_amd64, false).unwrap();
    assert!(
        removed.contains(&Removal::Deleted(amd64.to_string()))
            && !removed.contains(&Removal::Untagged(name.clone())),
        "{removed:?}"
    );
    assert_eq!(images(), std::slice::from_ref(&arm64));
    let removed = store.remove(&name, &of_arm64, false).unwrap();
    assert!(removed.contains(&Removal::Untagged(name.clone())), "{removed:?}");
    let load = async |platforms| {
        let (sender, _events) = mpsc::channel(100);
        store.load(saved.as_slice(), platforms, sender).await
    };
    let error = load(&other).await.unwrap_err().to_string();
    assert!(error.contains("no image for linux/s390x"), "{error}");
    assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
    load(&of_arm64).await.unwrap();
    assert_eq!(images(), std::slice::from_ref(&arm64));
    load(&[]).await.unwrap();
    assert_eq!(images().len(), 2);
}

#[tokio::test]
async fn archives_of_either_kind_load_and_broken_ones_leave_nothing() {
    let fixture = Fixture::new().await;
    fixture.registry.put("team/app", "1", &[image("amd64")]);
    let store = fixture.store();
    fixture.pull(&store).await.unwrap();
    let name = fixture.reference().familiar();
    let mut saved = Vec::new();
    store
        .save(std::slice::from_ref(&name), &[], &mut saved)
        .await
        .unwrap();
    store.remove(&name, &[], false).unwrap();
    let load = async |archive: Vec<u8>| {
        let (sender, _events) = mpsc::channel(100);
        store.load(archive.as_slice(), &[], sender).await
    };
    // Without manifest.json it is an oci-archive only.
    let without = |gone: &str, cut: usize| {
        let mut builder = tar::Builder::new(Vec::new());
        for entry in tar::Archive::new(saved.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            if path.to_str() != Some(gone) {
                let mut data = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
                if path.starts_with("blobs") && data.len() > 100_000 {
                    data.truncate(data.len() - cut);
                }
                let mut header = tar::Header::new_ustar();
                header.set_size(data.len() as u64);
                builder.append_data(&mut header, path, data.as_slice()).unwrap();
            }
        }
        builder.into_inner().unwrap()
    };
    assert_eq!(
        load(without("manifest.json", 0)).await.unwrap()[0].to_string(),
        format!("Loaded image: {name}")
    );
    store.remove(&name, &[], false).unwrap();
    // A bare tag is no name, and an image that has two of them is one image.
    let tagged = |index: &mut serde_json::Value| {
        let mut entry = index["manifests"][0].clone();
        index["manifests"] = ["1", "latest"]
            .map(|tag| {
                entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": tag });
                entry.clone()
            })
            .into();
    };
    let loaded = load(with_index(&without("manifest.json", 0), tagged))
        .await
        .unwrap();
    assert!(matches!(loaded.as_slice(), [store::Loaded::Id(_)]), "{loaded:?}");
    store
        .remove(&loaded[0].to_string()["Loaded image ID: ".len()..], &[], false)
        .unwrap();
    for broken in [
        without("manifest.json", 1000),
        without("", 1000),
        without("index.json", 5),
    ] {
        assert!(load(broken).await.is_err());
        assert!(fixture.leftovers().is_empty(), "{:?}", fixture.leftovers());
    }
    assert!(
        load(b"not an archive at all".to_vec())
            .await
            .unwrap_err()
            .to_string()
            .contains("cannot be loaded")
    );
    assert!(
        load(Vec::new())
            .await
            .unwrap_err()
            .to_string()
            .contains("neither manifest.json nor index.json")
    );
}

/// The archive with another index.
fn with_index(archive: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut change = Some(change);
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
        if path.to_str() == Some("index.json") {
            let mut index = serde_json::from_slice(&data).unwrap();
            change.take().unwrap()(&mut index);
            data = serde_json::to_vec(&index).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, path, data.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}
