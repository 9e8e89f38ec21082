//! Logging in to registries, looking at what they have, and searching them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected fails"
)]

mod common;

use common::{USER, credentials};
use store::{Credentials, ErrorKind, Reference, Store, StoreConfig, StoreError};
use test_registry::{Auth, Image, Registry};

struct Fixture {
    _folder: tempfile::TempDir,
    registry: Registry,
    store: Store,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            registry: Registry::start().await.unwrap(),
            store: Store::open(StoreConfig::new(folder.path())).unwrap(),
            _folder: folder,
        }
    }

    async fn log_in(&self, password: &str) -> Result<(), StoreError> {
        let server = self.registry.domain();
        self.store.log_in(&server, &credentials(password)).await
    }

    async fn search_error(&self, term: &str) -> String {
        let found = self.store.search(term, 5, None).await;
        found.unwrap_err().to_string()
    }

    fn reference(&self) -> Reference {
        format!("{}/team/app:1", self.registry.domain()).parse().unwrap()
    }
}

#[tokio::test]
async fn a_right_password_is_taken_and_a_wrong_one_refused_in_dockers_words() {
    let fixture = Fixture::new().await;
    for auth in [Auth::Basic(USER.to_owned()), Auth::Bearer(Some(USER.to_owned()))] {
        fixture.registry.set_auth(auth);
        fixture.log_in("pass").await.unwrap();
        let error = fixture.log_in("wrong").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        let text = error.to_string();
        let start = format!("Get \"http://{}/v2/\": unauthorized: ", fixture.registry.domain());
        assert!(text.starts_with(&start), "{text}");
    }
}

#[tokio::test]
async fn a_login_asks_for_a_token_of_no_repository() {
    let fixture = Fixture::new().await;
    let realm = format!("http://{}/token", fixture.registry.domain());
    fixture.registry.set_auth(Auth::Realm(realm));
    fixture.log_in("pass").await.unwrap();
    let requests = fixture.registry.requests();
    let token = requests
        .iter()
        .find(|request| request.path.starts_with("/token"))
        .unwrap();
    assert_eq!(token.path, "/token?account=user");
}

#[tokio::test]
async fn an_address_that_is_no_registrys_is_named() {
    let fixture = Fixture::new().await;
    let credentials = Credentials::default();
    let log_in = |server: &'static str| fixture.store.log_in(server, &credentials);
    let error = log_in("me:secret@host/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = log_in("127.0.0.1:1").await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_distribution_tells_where_a_reference_leads_and_for_which_platforms() {
    let fixture = Fixture::new().await;
    let images = ["amd64", "arm64"].map(|architecture| Image::new(architecture, &[]));
    for (images, kind, expected) in [
        (&images[..], "index", &["linux/amd64", "linux/arm64"][..]),
        (&images[..1], "manifest", &["linux/amd64"]),
    ] {
        let digest = fixture.registry.put("team/app", "1", images);
        let found = fixture
            .store
            .distribution(&fixture.reference(), None)
            .await
            .unwrap();
        assert_eq!(found.digest.as_str(), digest);
        assert_eq!(
            found.media_type,
            format!("application/vnd.oci.image.{kind}.v1+json")
        );
        assert!(found.size > 100);
        let platforms: Vec<String> = found.platforms.iter().map(ToString::to_string).collect();
        assert_eq!(platforms, expected);
    }
    assert!(fixture.store.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_registry_is_searched_with_the_word_and_the_number_that_are_wanted() {
    let fixture = Fixture::new().await;
    let term = format!("{}/a b&c", fixture.registry.domain());
    let error = fixture.search_error(&term).await;
    assert!(error.contains("404; it may have no search"), "{error}");
    fixture
        .registry
        .put_search(r#"{"results":[{"name":"a","star_count":3}]}"#);
    let found = fixture.store.search(&term, 5, None).await.unwrap();
    assert_eq!((found[0].name.as_str(), found[0].stars), ("a", 3));
    let requests = fixture.registry.requests();
    assert_eq!(requests.last().unwrap().path, "/v1/search?q=a+b%26c&n=5");
}

#[tokio::test]
async fn an_endless_search_result_is_refused() {
    let fixture = Fixture::new().await;
    fixture.registry.put_search(vec![b' '; 2 << 20]);
    let term = format!("{}/x", fixture.registry.domain());
    let error = fixture.search_error(&term).await;
    assert!(error.contains("over the limit"), "{error}");
}
