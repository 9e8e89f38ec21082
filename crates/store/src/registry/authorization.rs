//! Proving who asks: Basic credentials, or a token of the server that a challenge names (Docker's token specification;
//! with an identity token, its OAuth2 variant).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::failure::{RequestError, body, unreachable};
use super::session::{Access, Session, header};
use super::transport::is_loopback;
use crate::config::Credentials;
use crate::error::StoreError;

/// Longest token answer read, in bytes.
const MAX_TOKEN: u64 = 1 << 20;

impl Session {
    /// Answers a challenge. `None` when there is nothing new to say: `before` is what was refused.
    pub(super) async fn authorize(
        &self,
        challenge: Challenge,
        before: Option<HeaderValue>,
    ) -> Result<Option<HeaderValue>, RequestError> {
        let mut current = self.authorization.lock().await;
        if *current != before && current.is_some() {
            // Another request of the same work has just been given one.
            return Ok(current.clone());
        }
        let credentials = self.credentials.as_ref();
        let authorization = match challenge {
            Challenge::Basic => {
                let Some(credentials) = credentials.filter(|who| !who.username.is_empty()) else {
                    return Ok(None);
                };
                basic(credentials)?
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => match credentials.and_then(|who| who.registry_token.clone()) {
                Some(token) => sensitive(&format!("Bearer {token}"))?,
                None => {
                    let token = self.token(&realm, service.as_deref(), scope.as_deref()).await?;
                    sensitive(&format!("Bearer {token}"))?
                }
            },
        };
        if before.as_ref() == Some(&authorization) {
            return Ok(None);
        }
        *current = Some(authorization.clone());
        Ok(Some(authorization))
    }

    /// Fetches a token.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<String, RequestError> {
        let refused = |reason: &str| RequestError::Final(StoreError::invalid(realm, reason));
        let mut url = Url::parse(realm).map_err(|_| refused("its token server has a malformed address"))?;
        let plain_allowed =
            is_loopback(&url) || (self.base.scheme() == "http" && url.origin() == self.base.origin());
        if url.scheme() != "https" && !(url.scheme() == "http" && plain_allowed) {
            return Err(refused(
                "its token server must be reached by HTTPS, or the password would be readable",
            ));
        }
        let own_scope = match self.access {
            Access::Pull => format!("repository:{}:pull", self.repository),
            Access::Push => format!("repository:{}:pull,push", self.repository),
        };
        // Whoever only logs in asks about no repository.
        let own_scope = (!self.repository.is_empty()).then_some(own_scope.as_str());
        // The challenge to the first question of a push may speak of reading alone, and a token for that alone would
        // be refused at the first upload.
        let scope = scope.filter(|_| self.access == Access::Pull).or(own_scope);
        let identity = self
            .credentials
            .as_ref()
            .and_then(|who| who.identity_token.as_deref());
        let request = match identity {
            Some(identity) => {
                let mut form =
                    Url::parse("form:").map_err(|_| refused("its token server cannot be asked"))?;
                form.query_pairs_mut()
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("service", service.unwrap_or_default())
                    .append_pair("client_id", "sampan")
                    .append_pair("refresh_token", identity);
                if let Some(scope) = scope {
                    form.query_pairs_mut().append_pair("scope", scope);
                }
                let body = form.query().unwrap_or_default().to_owned();
                let kind = "application/x-www-form-urlencoded";
                self.transport
                    .request(Method::POST, &url, false)?
                    .header("content-type", kind)
                    .body(body)
            }
            None => {
                let credentials = self.credentials.as_ref().filter(|who| !who.username.is_empty());
                {
                    let mut query = url.query_pairs_mut();
                    if let Some(service) = service {
                        query.append_pair("service", service);
                    }
                    if let Some(scope) = scope {
                        query.append_pair("scope", scope);
                    }
                    if let Some(credentials) = credentials {
                        query.append_pair("account", &credentials.username);
                    }
                }
                let request = self.transport.request(Method::GET, &url, false)?;
                match credentials {
                    Some(credentials) => request.header(AUTHORIZATION, basic(credentials)?),
                    None => request,
                }
            }
        };
        let response = request.send().await.map_err(|error| unreachable(&url, error))?;
        let response = self.judge(&url, response).await?;
        let bytes = body(response, MAX_TOKEN).await?;
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|_| refused("its token server's answer is malformed"))?;
        let token = answer
            .token
            .or(answer.access_token)
            .filter(|token| !token.is_empty());
        token.ok_or_else(|| refused("its token server gave no token"))
    }
}

fn basic(credentials: &Credentials) -> Result<HeaderValue, RequestError> {
    sensitive(&format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", credentials.username, credentials.password))
    ))
}

fn sensitive(text: &str) -> Result<HeaderValue, RequestError> {
    let mut value = header(text)?;
    value.set_sensitive(true);
    Ok(value)
}
