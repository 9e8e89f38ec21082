//! What a registry is asked apart from images: whether it takes a person's name and password (distribution-spec,
//! `GET /v2/`, with Docker's token specification), and which repositories it finds by a word (`GET /v1/search` of
//! Docker's first registry API, the part of it that Docker Hub still serves).

use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::client::{DOCKER_HUB, bases};
use super::failure::{Refusal, RequestError, body, shown};
use super::session::{Access, Session};
use super::transport::Transport;
use crate::config::{Credentials, StoreConfig};
use crate::error::StoreError;

/// The host that Docker Hub is searched on.
const DOCKER_INDEX: &str = "index.docker.io";
/// Longest search term and registry address, in bytes.
const MAX_TEXT: usize = 1024;
/// Longest answer to a search, in bytes: a hundred repositories take a tenth of it.
const MAX_ANSWER: u64 = 1 << 20;
/// Longest name of a repository that is believed, in bytes: a domain and a path.
const MAX_NAME: usize = 512;
/// Longest description that is passed on, in characters.
const MAX_DESCRIPTION: usize = 1024;

/// A repository that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `alpine`, `grafana/grafana`.
    pub name: String,
    /// What its owner says of it: any text.
    pub description: String,
    /// How many people like it.
    pub stars: i64,
    /// Whether it is one of Docker's own.
    pub official: bool,
}

/// Asks the registry at `server`, an address as people and clients write it, whether it takes the credentials.
pub(crate) async fn log_in(
    transport: &Transport,
    config: &StoreConfig,
    server: &str,
    credentials: &Credentials,
) -> Result<(), StoreError> {
    let name = match host(server).ok_or_else(|| StoreError::RegistryAddress(excerpt(server)))? {
        "" | "docker.io" | DOCKER_INDEX => DOCKER_HUB,
        name => name,
    };
    let host = Host {
        transport,
        config,
        name,
        credentials: Some(credentials),
    };
    host.ask("v2/", "", not_logged_in).await.map(drop)
}

/// Finds repositories on Docker Hub, or on the registry that the term begins with: `registry.example/word`.
pub(crate) async fn search(
    transport: &Transport,
    config: &StoreConfig,
    term: &str,
    limit: usize,
    credentials: Option<&Credentials>,
) -> Result<Vec<Found>, StoreError> {
    let (name, word) = split(term);
    if term.len() > MAX_TEXT || term.contains("://") || host(name) != Some(name) {
        return Err(StoreError::SearchTerm(excerpt(term)));
    }
    let mut query = Url::parse("query:").map_err(|error| StoreError::invalid(name, error))?;
    query
        .query_pairs_mut()
        .append_pair("q", word)
        .append_pair("n", &limit.to_string());
    let query = query.query().unwrap_or_default();
    let host = Host {
        transport,
        config,
        name,
        credentials,
    };
    let (url, response) = host.ask("v1/", &format!("search?{query}"), not_searched).await?;
    let bytes = body(response, MAX_ANSWER)
        .await
        .map_err(RequestError::into_store)?;
    parse(&shown(&url), &bytes, limit)
}

/// The host of an address, nothing for none: `https://registry.example:5000/v1/` is `registry.example:5000`.
fn host(address: &str) -> Option<&str> {
    let bare = address.trim();
    let bare = bare
        .strip_prefix("https://")
        .or_else(|| bare.strip_prefix("http://"))
        .unwrap_or(bare);
    let host = bare.split('/').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let valid = host.len() <= MAX_TEXT
        && host.bytes().all(plain)
        && (host.is_empty() || Url::parse(&format!("https://{host}/")).is_ok());
    valid.then_some(host)
}

/// The index of a search term, and the word to look for there.
fn split(term: &str) -> (&str, &str) {
    // The index names official repositories without their folder.
    let official = |word| str::strip_prefix(word, "library/").unwrap_or(word);
    match term.split_once('/') {
        Some(("docker.io" | DOCKER_INDEX, word)) => (DOCKER_INDEX, official(word)),
        Some((host, word)) if host.contains(['.', ':']) || host == "localhost" => (host, word),
        _ => (DOCKER_INDEX, official(term)),
    }
}

/// What an error shows of a text that was not understood.
fn excerpt(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(64).collect()
}

/// A registry that is asked one thing.
struct Host<'a> {
    transport: &'a Transport,
    config: &'a StoreConfig,
    name: &'a str,
    credentials: Option<&'a Credentials>,
}

impl Host<'_> {
    /// The answer to `GET folder + path` of the first of its plain and TLS sides that speaks, and where that was.
    /// There is no second try: a person waits, and can try again.
    async fn ask(
        &self,
        folder: &str,
        path: &str,
        refused: impl Fn(&Url, &Refusal) -> StoreError,
    ) -> Result<(Url, Response), StoreError> {
        let mut last = None;
        for base in bases(self.config, self.name) {
            let base = format!("{base}/{folder}");
            let base = Url::parse(&base).map_err(|error| StoreError::invalid(base, error))?;
            let credentials = self.credentials.cloned();
            let session = Session::new(
                self.transport.clone(),
                base,
                "",
                Access::Pull,
                credentials,
                self.config.patience,
            );
            let url = session.url(path)?;
            let (error, spoke) = match session.get_once(&url, &[], 0).await {
                Ok(response) => return Ok((url, response)),
                Err(RequestError::Refused(refusal)) => {
                    // A TLS host asked in plain HTTP answers 400, or nothing that is HTTP.
                    (refused(&url, &refusal), refusal.status != StatusCode::BAD_REQUEST)
                }
                Err(RequestError::Final(error)) => (error, true),
                Err(RequestError::Passing(error, _)) => {
                    let spoke = matches!(error, StoreError::Registry { .. });
                    (error, spoke)
                }
                Err(RequestError::Down(error)) => (error, false),
            };
            last = Some(error);
            if spoke {
                break;
            }
        }
        Err(last.unwrap_or_else(|| StoreError::RegistryAddress(excerpt(self.name))))
    }
}

/// A refused login in Docker's words.
fn not_logged_in(url: &Url, refusal: &Refusal) -> StoreError {
    let or = |text: &str, default: &str| {
        let text = if text.is_empty() { default } else { text };
        text.to_owned()
    };
    let default = match refusal.status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "denied",
        status => {
            return StoreError::Registry {
                url: shown(url),
                status: status.as_u16(),
                detail: String::new(),
                advice: "check that this is the address of a registry",
            };
        }
    };
    let code = or(&refusal.code, default).to_ascii_lowercase();
    StoreError::LoginRefused {
        url: shown(url),
        reason: format!(
            "{code}: {}",
            or(&refusal.message, "incorrect username or password")
        ),
    }
}

fn not_searched(url: &Url, refusal: &Refusal) -> StoreError {
    let advice = match refusal.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "log in with an account that may search",
        _ => "it may have no search: its owner can tell what images it has",
    };
    StoreError::Registry {
        url: shown(url),
        status: refusal.status.as_u16(),
        detail: String::new(),
        advice,
    }
}

/// Reads what was found. Nothing in it is to be believed, least of all its length.
fn parse(url: &str, bytes: &[u8], limit: usize) -> Result<Vec<Found>, StoreError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        results: Option<Vec<Entry>>,
    }
    #[derive(Deserialize)]
    struct Entry {
        name: Option<String>,
        description: Option<String>,
        star_count: Option<i64>,
        is_official: Option<bool>,
    }
    let answer: Answer = serde_json::from_slice(bytes)
        .map_err(|error| StoreError::invalid(url, format!("its answer is malformed: {error}")))?;
    let entries = answer.results.unwrap_or_default().into_iter();
    let found = entries.filter_map(|entry| {
        let name = entry
            .name
            .filter(|name| !name.is_empty() && name.len() <= MAX_NAME)?;
        let description = entry.description.unwrap_or_default();
        Some(Found {
            name,
            description: description.chars().take(MAX_DESCRIPTION).collect(),
            stars: entry.star_count.unwrap_or(0),
            official: entry.is_official.unwrap_or(false),
        })
    });
    Ok(found.take(limit).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_leads_to_its_host_however_it_is_written() {
        for (address, expected) in [
            ("https://index.docker.io/v1/", Some("index.docker.io")),
            ("localhost:5000", Some("localhost:5000")),
            (" http://registry.example/v2/ ", Some("registry.example")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("", Some("")),
            ("me:secret@registry.example", None),
            ("registry.example?x", None),
            ("a:b", None),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }

    #[test]
    fn a_term_that_begins_with_a_host_is_looked_for_there() {
        for (term, expected) in [
            ("alpine", (DOCKER_INDEX, "alpine")),
            ("library/alpine", (DOCKER_INDEX, "alpine")),
            ("docker.io/grafana/loki", (DOCKER_INDEX, "grafana/loki")),
            ("grafana/loki", (DOCKER_INDEX, "grafana/loki")),
            ("localhost/x", ("localhost", "x")),
            ("registry.example:5000/a/b", ("registry.example:5000", "a/b")),
        ] {
            assert_eq!(split(term), expected, "{term}");
        }
    }

    #[test]
    fn an_answer_is_cut_to_what_was_asked_for() {
        let long = "é".repeat(5000);
        let nameless = "x".repeat(MAX_NAME + 1);
        let answer = format!(
            r#"{{"num_results":4,"results":[{{"name":"{nameless}"}},{{"name":"a","description":"{long}","star_count":7}},
               {{"name":"b","description":null,"is_official":true}},{{"name":"c"}}]}}"#
        );
        let found = parse("here", answer.as_bytes(), 2).unwrap();
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found[0].description.chars().count(), MAX_DESCRIPTION);
        assert_eq!(
            (found[0].stars, found[0].official, found[1].official),
            (7, false, true)
        );
        assert!(
            parse("here", b"<html>", 2)
                .unwrap_err()
                .to_string()
                .starts_with("here")
        );
    }

    proptest! {
        #[test]
        fn any_address_is_a_host_or_none(address in "\\PC{0,80}") {
            if let Some(host) = host(&address) {
                prop_assert!(!host.contains(['/', '@', '?', '#', '\\']));
            }
        }
    }
}
