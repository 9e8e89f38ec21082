//! One registry host and one repository on it.

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::challenge;
use super::content::Content;
use super::failure::{self, RequestError, Retries, body, shown, unreachable};
use super::transport::{Transport, is_loopback};
use crate::config::{Credentials, Patience};
use crate::error::StoreError;

/// Redirects followed in one request.
const MAX_REDIRECTS: usize = 5;

/// Requests to one host about one repository.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) transport: Transport,
    /// `https://host/v2/<repository>/`.
    pub(super) base: Url,
    pub(super) repository: String,
    pub(super) access: Access,
    pub(super) credentials: Option<Credentials>,
    patience: Patience,
    /// The `Authorization` header that worked last.
    pub(super) authorization: Mutex<Option<HeaderValue>>,
}

/// What is done with a repository, and asked for in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// A request, which may have to be sent more than once: to answer a challenge, or to follow a redirect.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Option<&'a Content<'a>>,
}

impl<'a> Ask<'a> {
    /// A request without headers and content.
    pub(crate) fn new(method: Method, url: &'a Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            content: None,
        }
    }
}

impl Session {
    pub(crate) fn new(
        transport: Transport,
        base: Url,
        repository: &str,
        access: Access,
        credentials: Option<Credentials>,
        patience: Patience,
    ) -> Self {
        let authorization = Mutex::new(None);
        Self {
            transport,
            base,
            repository: repository.to_owned(),
            access,
            credentials,
            patience,
            authorization,
        }
    }

    /// The host that is asked, with its port where that is not the scheme's own.
    pub(crate) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The URL of something in the repository: `manifests/latest`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, StoreError> {
        self.base
            .join(path)
            .map_err(|error| StoreError::invalid(path, error))
    }

    /// Headers and body of a successful answer to `GET url`, with tries again after passing failures.
    pub(crate) async fn get(
        &self,
        url: &Url,
        accept: &[&str],
        limit: u64,
    ) -> Result<(HeaderMap, Vec<u8>), RequestError> {
        let mut retries = Retries::new(&self.patience);
        loop {
            let result = match self.get_once(url, accept, 0).await {
                Ok(response) => {
                    let headers = response.headers().clone();
                    body(response, limit).await.map(|body| (headers, body))
                }
                Err(error) => Err(error),
            };
            match result {
                Err(RequestError::Passing(error, after)) => retries.next(error, after, |_| {}).await?,
                other => return other,
            }
        }
    }

    /// One try, from byte `offset` on.
    pub(crate) async fn get_once(
        &self,
        url: &Url,
        accept: &[&str],
        offset: u64,
    ) -> Result<Response, RequestError> {
        let mut ask = Ask::new(Method::GET, url);
        if !accept.is_empty() {
            ask.headers.insert(ACCEPT, header(&accept.join(", "))?);
        }
        if offset > 0 {
            ask.headers.insert(RANGE, header(&format!("bytes={offset}-"))?);
        }
        self.once(&ask).await
    }

    /// One try. Answers authentication challenges and follows redirects.
    pub(crate) async fn once(&self, ask: &Ask<'_>) -> Result<Response, RequestError> {
        let url = ask.url;
        let before = self.authorization.lock().await.clone();
        let response = self.follow(ask, before.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.judge(url, response).await;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).into_iter();
        let Some(challenge) = challenge::choose(challenges.filter_map(|value| value.to_str().ok())) else {
            return self.judge(url, response).await;
        };
        let Some(authorization) = self.authorize(challenge, before).await? else {
            return self.judge(url, response).await;
        };
        let response = self.follow(ask, Some(&authorization)).await?;
        self.judge(url, response).await
    }

    /// Sends a request and follows redirects; the authorization goes to the first host only.
    async fn follow(
        &self,
        ask: &Ask<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RequestError> {
        let mut current = ask.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self
                .transport
                .request(ask.method.clone(), &current, ask.content.is_some())?;
            let mut request = request.headers(ask.headers.clone());
            if let Some(authorization) = authorization.filter(|_| current.origin() == self.base.origin()) {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = match ask.content {
                Some(content) => content.send(request, &current, self.patience.stall).await?,
                None => request
                    .send()
                    .await
                    .map_err(|error| unreachable(&current, error))?,
            };
            if !redirects(&ask.method, response.status()) {
                return Ok(response);
            }
            current = location(&ask.method, &current, &response)?;
        }
        let reason = format!("it redirects more than {MAX_REDIRECTS} times");
        Err(RequestError::Final(StoreError::invalid(ask.url.as_str(), reason)))
    }

    /// Sorts an answer into success, passing failure and refusal.
    pub(super) async fn judge(&self, url: &Url, response: Response) -> Result<Response, RequestError> {
        failure::judge(url, self.access, response, self.patience.stall).await
    }
}

/// Whether an answer sends a request elsewhere. One that changes something goes there only where it stays the same
/// request (RFC 9110, 15.4.8 and 15.4.9).
fn redirects(method: &Method, status: StatusCode) -> bool {
    match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::NOT_MODIFIED => false,
        _ => status.is_redirection() && method.is_safe(),
    }
}

/// Where an answer leads a request of this method to. It may not lead from TLS to plain HTTP, but to ask something of
/// this computer; what is sent stays behind TLS.
pub(super) fn location(method: &Method, from: &Url, response: &Response) -> Result<Url, RequestError> {
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| from.join(target).ok()).ok_or_else(|| {
        RequestError::Final(StoreError::invalid(
            from.as_str(),
            "its answer does not say where to go on",
        ))
    })?;
    let secure = target.scheme() == "https";
    let still_plain =
        target.scheme() == "http" && (from.scheme() == "http" || (method.is_safe() && is_loopback(&target)));
    if secure || still_plain {
        Ok(target)
    } else {
        Err(RequestError::Final(StoreError::PlainHttp(shown(&target))))
    }
}

pub(super) fn header(text: &str) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_str(text).map_err(|_| {
        RequestError::Final(StoreError::invalid(
            "the request",
            "a header has characters that it may not",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_changes_something_is_sent_elsewhere_only_as_it_is() {
        assert!(redirects(&Method::GET, StatusCode::FOUND));
        assert!(!redirects(&Method::PUT, StatusCode::FOUND));
        assert!(redirects(&Method::PUT, StatusCode::TEMPORARY_REDIRECT));
        assert!(!redirects(&Method::GET, StatusCode::NOT_MODIFIED));
    }
}
