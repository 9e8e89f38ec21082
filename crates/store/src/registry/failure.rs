//! How a request fails: what a registry answers that is no success, what the network does, and whether another try may
//! help (OCI distribution-spec 1.1, "Error Codes"; RFC 9110, 10.2.3 "Retry-After").

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::session::Access;
use super::transport::chain;
use crate::config::Patience;
use crate::error::StoreError;

/// Longest error body read, in bytes.
const MAX_ERROR_BODY: u64 = 64 << 10;
/// Longest wait that a registry can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct Refusal {
    url: Url,
    access: Access,
    pub(crate) status: StatusCode,
    /// The registry's own error code and text.
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A request that failed, and whether another try may help.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// No connection could be made.
    Down(StoreError),
    /// The network, or an answer of 5xx or 429; after how long to try again, if the registry said so.
    Passing(StoreError, Option<Duration>),
    /// The registry's considered answer.
    Refused(Box<Refusal>),
    /// Trying again would not help.
    Final(StoreError),
}

impl RequestError {
    pub(crate) fn into_store(self) -> StoreError {
        match self {
            Self::Down(error) | Self::Passing(error, _) | Self::Final(error) => error,
            Self::Refused(refusal) => refusal.into_store(),
        }
    }
}

/// Sorts an answer into success, passing failure and refusal.
pub(super) async fn judge(
    url: &Url,
    access: Access,
    response: Response,
    patience: Duration,
) -> Result<Response, RequestError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    let refusal = Refusal::read(url, access, status, response);
    // What has come of an upload's answer has no time-out of its own.
    let refusal = tokio::time::timeout(patience, refusal)
        .await
        .unwrap_or_else(|_| Refusal::silent(url, access, status));
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(RequestError::Passing(refusal.into_store(), after));
    }
    Err(RequestError::Refused(Box::new(refusal)))
}

impl Refusal {
    /// Reads the errors of distribution-spec, `{"errors":[{"code":…,"message":…}]}`.
    async fn read(url: &Url, access: Access, status: StatusCode, response: Response) -> Self {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<One>,
        }
        #[derive(Deserialize)]
        struct One {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let bytes = body(response, MAX_ERROR_BODY).await.unwrap_or_default();
        let first = serde_json::from_slice::<Errors>(&bytes)
            .ok()
            .and_then(|errors| errors.errors.into_iter().next());
        let (code, message) = first.map(|one| (one.code, one.message)).unwrap_or_default();
        let printable = |text: String| text.chars().filter(|char| !char.is_control()).take(300).collect();
        Self {
            code: printable(code),
            message: printable(message),
            ..Self::silent(url, access, status)
        }
    }

    /// One without a text.
    fn silent(url: &Url, access: Access, status: StatusCode) -> Self {
        Self {
            url: url.clone(),
            access,
            status,
            code: String::new(),
            message: String::new(),
        }
    }

    pub(super) fn into_store(self) -> StoreError {
        let detail = if self.message.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.message)
        };
        let advice = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "wait a while or log in, then try again",
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => match self.access {
                Access::Pull => "log in with an account that may pull",
                Access::Push => "log in with an account that may push",
            },
            StatusCode::PAYLOAD_TOO_LARGE => {
                "raise the limit of the registry or of the proxy before it, or make the layer smaller"
            }
            status if status.is_server_error() => "try again later",
            _ => "check the name of the image and the registry",
        };
        StoreError::Registry {
            url: shown(&self.url),
            status: self.status.as_u16(),
            detail,
            advice,
        }
    }
}

/// All of a body, up to a limit.
pub(crate) async fn body(mut response: Response, limit: u64) -> Result<Vec<u8>, RequestError> {
    let url = response.url().clone();
    let too_long = || {
        RequestError::Final(StoreError::invalid(
            shown(&url),
            format!("its answer is over the limit of {limit} bytes"),
        ))
    };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&url, error))? {
        if bytes.len() as u64 + chunk.len() as u64 > limit {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A failure of the network.
pub(crate) fn unreachable(url: &Url, error: reqwest::Error) -> RequestError {
    let down = error.is_connect();
    let reason = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        chain(&error.without_url())
    };
    let error = StoreError::Unreachable {
        url: shown(url),
        reason,
    };
    if down {
        RequestError::Down(error)
    } else {
        RequestError::Passing(error, None)
    }
}

/// Counts tries and waits between them, longer each time.
pub(crate) struct Retries {
    patience: Patience,
    wait: Duration,
    left: u32,
}

impl Retries {
    pub(crate) fn new(patience: &Patience) -> Self {
        Self {
            patience: *patience,
            wait: patience.back_off,
            left: patience.retries,
        }
    }

    /// Progress was made: the count begins anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(&self.patience);
    }

    /// Waits for the next try, after telling for how long; gives the error back when there were enough.
    pub(crate) async fn next(
        &mut self,
        error: StoreError,
        after: Option<Duration>,
        tell: impl FnOnce(Duration),
    ) -> Result<(), RequestError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(RequestError::Passing(error, after));
        };
        self.left = left;
        let wait = after.unwrap_or(self.wait);
        self.wait = self.wait.saturating_mul(2);
        tracing::warn!(%error, ?wait, "a request to a registry failed and is tried again");
        tell(wait);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// A URL without its query, which may hold a signature.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_keeps_no_secret() {
        let url = Url::parse("https://u:p@cdn.example/blob?signature=abc").unwrap();
        assert_eq!(shown(&url), "https://cdn.example/blob");
    }
}
