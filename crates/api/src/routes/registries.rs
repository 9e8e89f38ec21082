//! What registries are asked: credentials (`SystemAuth`), descriptors (`DistributionInspect`), searches
//! (`ImageSearch`); and the credentials that come along with a request.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use engine::Credentials;
use hyper::StatusCode;
use serde::Deserialize;

use super::Call;
use crate::body::{self, Response};
use crate::error::{ApiError, Result};

/// Who asks, in Docker's form.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthConfig {
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
    serveraddress: Option<String>,
}

impl AuthConfig {
    fn credentials(self) -> Credentials {
        let some = |token: Option<String>| token.filter(|token| !token.is_empty());
        Credentials {
            username: self.username.unwrap_or_default(),
            password: self.password.unwrap_or_default(),
            identity_token: some(self.identitytoken),
            registry_token: some(self.registrytoken),
        }
    }
}

/// `POST /auth`. Without an address Docker Hub is meant.
pub(super) async fn log_in(call: Call) -> Result<Response> {
    let config: AuthConfig = body::read_json(call.request).await?;
    let server = config.serveraddress.clone().unwrap_or_default();
    let answer = call.engine.log_in(&server, &config.credentials()).await?;
    Ok(body::json(StatusCode::OK, &answer))
}

/// `GET /distribution/{name}/json`.
pub(super) async fn distribution(call: Call, name: &str) -> Result<Response> {
    let credentials = credentials(&call)?;
    let found = call
        .engine
        .inspect_distribution(name, credentials.as_ref())
        .await?;
    Ok(body::json(StatusCode::OK, &found))
}

/// `GET /images/search`.
pub(super) async fn search(call: Call) -> Result<Response> {
    let term = call
        .query
        .text("term")
        .ok_or_else(|| ApiError::bad_request("no term to search for was given"))?;
    let (limit, filters, credentials) = (call.query.number("limit")?, call.filters()?, credentials(&call)?);
    let found = call
        .engine
        .search_images(term, limit, &filters, credentials.as_ref())
        .await?;
    Ok(body::json(StatusCode::OK, &found))
}

/// The credentials that came along with a request.
pub(super) fn credentials(call: &Call) -> Result<Option<Credentials>> {
    let header = call.request.headers().get("x-registry-auth");
    let decoded = header.map(|value| decode(value.as_bytes())).transpose()?;
    Ok(decoded.flatten())
}

/// The header `X-Registry-Auth`: JSON in base64url, with or without padding; some clients use plain base64.
fn decode(header: &[u8]) -> Result<Option<Credentials>> {
    let text = header.trim_ascii();
    let text = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    let invalid = |what: &dyn std::fmt::Display| {
        ApiError::bad_request(format!("invalid X-Registry-Auth header: {what}"))
    };
    let decoded = URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .map_err(|error| invalid(&error))?;
    if decoded.is_empty() {
        return Ok(None);
    }
    let config: AuthConfig = serde_json::from_slice(&decoded).map_err(|error| invalid(&error))?;
    let credentials = config.credentials();
    let empty = credentials.username.is_empty()
        && credentials.identity_token.is_none()
        && credentials.registry_token.is_none();
    Ok((!empty).then_some(credentials))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn credentials_are_read_in_every_form_that_clients_send() {
        let json = r#"{"username":"me?>","password":"secret","identitytoken":"","auth":null}"#;
        for header in [
            URL_SAFE.encode(json),
            STANDARD.encode(json),
            URL_SAFE_NO_PAD.encode(json),
        ] {
            let credentials = decode(header.as_bytes()).unwrap().unwrap();
            assert_eq!(
                (credentials.username.as_str(), credentials.password.as_str()),
                ("me?>", "secret")
            );
            assert_eq!(credentials.identity_token, None);
        }
    }

    #[test]
    fn nobody_is_no_credentials_and_what_is_no_header_is_refused() {
        assert!(decode(b"").unwrap().is_none());
        assert!(decode(URL_SAFE.encode("{}").as_bytes()).unwrap().is_none());
        let error = decode(b"!").unwrap_err();
        assert!(
            error.message.starts_with("invalid X-Registry-Auth header"),
            "{error}"
        );
    }
}
