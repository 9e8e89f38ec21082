//! The tags of a repository (OCI distribution-spec 1.1, "Listing Tags": `GET /v2/<name>/tags/list`). A long list comes
//! in pages; each says in a `Link` header (RFC 8288) where the next is.

use std::collections::HashSet;

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;

use super::failure::RequestError;
use super::session::Session;
use crate::error::StoreError;

/// Tags that are asked for at once. A registry may give fewer.
const PAGE: usize = 1000;
/// Pages and tags at most: nobody wants to pull more, and a registry may not send us round and round.
const MOST_PAGES: usize = 1000;
const MOST_TAGS: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The tags in the registry's own order, each once. A page may have `limit` bytes.
pub(super) async fn list(session: &Session, limit: u64) -> Result<Vec<String>, RequestError> {
    let first = session
        .url(&format!("tags/list?n={PAGE}"))
        .map_err(RequestError::Final)?;
    let invalid = |url: &Url, reason: String| RequestError::Final(StoreError::invalid(url.as_str(), reason));
    let (mut seen, mut tags) = (HashSet::new(), Vec::new());
    let mut next = Some(first.clone());
    for _ in 0..MOST_PAGES {
        let Some(url) = next else { return Ok(tags) };
        let (headers, bytes) = session.get(&url, &[], limit).await?;
        let page: Page = serde_json::from_slice(&bytes)
            .map_err(|error| invalid(&url, format!("its list of tags is malformed: {error}")))?;
        for tag in page.tags.unwrap_or_default() {
            if seen.insert(tag.clone()) {
                tags.push(tag);
            }
        }
        if tags.len() > MOST_TAGS {
            return Err(invalid(
                &first,
                format!("it has more than {MOST_TAGS} tags: pull those that you want by name"),
            ));
        }
        next = following(&headers, &url)
            .map_err(|target| invalid(&url, format!("its list of tags goes on elsewhere: {target}")))?;
    }
    Err(invalid(
        &first,
        format!("its list of tags has more than {MOST_PAGES} pages"),
    ))
}

/// Where the next page is. One on another host is an error: it is none of this registry's.
fn following(headers: &HeaderMap, url: &Url) -> Result<Option<Url>, String> {
    let targets = headers
        .get_all(LINK)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let Some(target) = targets.flat_map(|value| value.split(',')).find_map(next_target) else {
        return Ok(None);
    };
    match url.join(target) {
        Ok(next) if next.origin() == url.origin() => Ok(Some(next)),
        _ => Err(target.to_owned()),
    }
}

/// The target of one link that is the next: `</v2/a/tags/list?last=b>; rel="next"`.
fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        })
        .then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(link: &str) -> Result<Option<String>, String> {
        let url: Url = "https://r.example/v2/a/tags/list".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(LINK, link.parse().unwrap());
        following(&headers, &url).map(|next| next.map(String::from))
    }

    #[test]
    fn the_next_page_is_found() {
        let expected = "https://r.example/v2/a/tags/list?last=b&n=2".to_owned();
        for link in [
            "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
            "<https://r.example/v2/a/tags/list?last=b&n=2>;rel=next",
            "<x>; rel=\"prev\", <list?last=b&n=2>; title=z; REL=Next",
        ] {
            assert_eq!(next(link), Ok(Some(expected.clone())), "{link}");
        }
    }

    #[test]
    fn a_last_page_has_no_next() {
        assert_eq!(next("<x>; rel=\"prev\""), Ok(None));
    }

    #[test]
    fn a_next_page_on_another_host_is_not_asked_for() {
        assert!(next("<https://elsewhere.example/x>; rel=next").is_err());
        assert!(next("<http://r.example/x>; rel=next").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_links_are_no_crash(link in "[ -~]{0,60}") {
            let _ = next(&link);
        }
    }
}
