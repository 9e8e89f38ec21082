//! What registries are asked without bringing an image here: whether they take a person's credentials, what a name
//! leads to, and what a word finds.

use bollard_stubs::models::{
    AuthResponse, DistributionInspect, ImageSearchResponseItem, OciDescriptor, OciPlatform,
};
use store::{Credentials, Found, Platform, Reference, StoreError};

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::filters::Filters;

/// How many repositories a search finds where nobody says, and at most.
const USUAL_FINDS: usize = 25;
const MOST_FINDS: usize = 100;

impl Engine {
    /// Asks a registry whether it takes the credentials. Nothing is kept of them: that is the client's part.
    pub async fn log_in(&self, server: &str, credentials: &Credentials) -> Result<AuthResponse> {
        // A token server gives anybody a token for nothing; that is not being logged in.
        let nobody = credentials.username.is_empty()
            && credentials.identity_token.is_none()
            && credentials.registry_token.is_none();
        if nobody {
            return Err(EngineError::BadRequest(
                "no user name was given: log in with a name and a password".to_owned(),
            ));
        }
        self.inner.store.log_in(server, credentials).await?;
        Ok(AuthResponse {
            status: "Login Succeeded".to_owned(),
            identity_token: Some(String::new()),
        })
    }

    /// What a name leads to in its registry.
    pub async fn inspect_distribution(
        &self,
        name: &str,
        credentials: Option<&Credentials>,
    ) -> Result<DistributionInspect> {
        let reference: Reference = name.parse().map_err(StoreError::from)?;
        let found = self.inner.store.distribution(&reference, credentials).await?;
        Ok(DistributionInspect {
            descriptor: OciDescriptor {
                media_type: Some(found.media_type),
                digest: Some(found.digest.to_string()),
                size: Some(i64::try_from(found.size).unwrap_or(i64::MAX)),
                ..OciDescriptor::default()
            },
            platforms: found.platforms.into_iter().map(platform).collect(),
        })
    }

    /// Repositories that a registry finds by a term, in its own order.
    pub async fn search_images(
        &self,
        term: &str,
        limit: Option<i64>,
        filters: &Filters,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<ImageSearchResponseItem>> {
        let wanted = Wanted::new(filters)?;
        let limit = match limit.unwrap_or(0) {
            0 => USUAL_FINDS,
            limit => usize::try_from(limit)
                .ok()
                .filter(|limit| *limit <= MOST_FINDS)
                .ok_or_else(|| {
                    EngineError::BadRequest(format!(
                        "limit {limit} is outside the range of [1, {MOST_FINDS}]"
                    ))
                })?,
        };
        let found = self.inner.store.search(term, limit, credentials).await?;
        Ok(found
            .into_iter()
            .filter(|found| wanted.has(found))
            .map(item)
            .collect())
    }
}

/// The filters of a search (moby `daemon/pkg/registry/search.go`).
#[derive(Debug)]
struct Wanted {
    stars: i64,
    official: Option<bool>,
    automated: bool,
}

impl Wanted {
    fn new(filters: &Filters) -> Result<Self> {
        filters.only(&["is-automated", "is-official", "stars"])?;
        let mut stars = i64::MIN;
        for value in filters.values("stars") {
            let least: i64 = value
                .parse()
                .map_err(|_| EngineError::BadRequest(format!("invalid filter 'stars={value}'")))?;
            stars = stars.max(least);
        }
        Ok(Self {
            stars,
            official: filters.truth("is-official")?,
            automated: filters.truth("is-automated")?.unwrap_or(false),
        })
    }

    fn has(&self, found: &Found) -> bool {
        // Automated builds are no more, on any registry.
        !self.automated
            && found.stars >= self.stars
            && self.official.is_none_or(|official| official == found.official)
    }
}

fn item(found: Found) -> ImageSearchResponseItem {
    ImageSearchResponseItem {
        name: Some(found.name),
        description: Some(found.description),
        star_count: Some(found.stars),
        is_official: Some(found.official),
        is_automated: Some(false),
    }
}

fn platform(platform: Platform) -> OciPlatform {
    OciPlatform {
        architecture: Some(platform.architecture),
        os: Some(platform.os),
        variant: platform.variant,
        ..OciPlatform::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(stars: i64, official: bool) -> Found {
        Found {
            name: "a".to_owned(),
            description: String::new(),
            stars,
            official,
        }
    }

    fn wanted(json: &str) -> Result<Wanted> {
        Wanted::new(&Filters::parse(json).unwrap())
    }

    #[test]
    fn a_search_is_narrowed_by_stars_and_origin() {
        let wanted = wanted(r#"{"stars":["3","5"],"is-official":["true"]}"#).unwrap();
        assert!(wanted.has(&found(5, true)));
        assert!(!wanted.has(&found(4, true)));
        assert!(!wanted.has(&found(9, false)));
    }

    #[test]
    fn a_filter_that_a_search_does_not_have_is_named() {
        for (json, expected) in [
            (r#"{"stars":["many"]}"#, "invalid filter 'stars=many'"),
            (r#"{"color":["red"]}"#, "invalid filter 'color'"),
        ] {
            assert_eq!(wanted(json).unwrap_err().to_string(), expected);
        }
    }
}
