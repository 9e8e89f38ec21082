//! Uploads (OCI distribution-spec 1.1, "Push"): a blob monolithically, `POST …/blobs/uploads/` and then `PUT` of all of
//! it to the place that the answer names; a manifest when all that it names is there.
//!
//! A transfer that breaks off begins anew: what registries do with half a blob differs from one to the next.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};

use super::Step;
use super::content::Content;
use super::failure::{RequestError, Retries, shown};
use super::session::{Ask, Session, header, location};
use crate::config::Patience;
use crate::digest::Digest;
use crate::error::StoreError;

/// A registry's word for an upload that it no longer knows, as after its restart.
const FORGOTTEN: &str = "BLOB_UPLOAD_UNKNOWN";
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Something to bring to a repository.
pub(super) struct Upload<'a> {
    pub(super) session: &'a Session,
    pub(super) content: &'a Content<'a>,
    pub(super) digest: &'a Digest,
    pub(super) patience: Patience,
}

/// Whether a repository has a blob. One that may not be asked for counts as absent: the upload tells why not, for
/// an answer to `HEAD` has no text.
pub(super) async fn has_blob(
    session: &Session,
    digest: &Digest,
    patience: &Patience,
) -> Result<bool, RequestError> {
    let url = session
        .url(&format!("blobs/{digest}"))
        .map_err(RequestError::Final)?;
    let ask = Ask::new(Method::HEAD, &url);
    let mut retries = Retries::new(patience);
    loop {
        match session.once(&ask).await {
            Ok(_) => return Ok(true),
            Err(RequestError::Refused(_)) => return Ok(false),
            Err(error) => again(&mut retries, error, |_| {}).await?,
        }
    }
}

impl Upload<'_> {
    /// Brings a blob.
    pub(super) async fn blob(&self, mut tell: impl FnMut(Step)) -> Result<(), RequestError> {
        let mut retries = Retries::new(&self.patience);
        loop {
            match self.blob_once(&mut tell).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let tell = |wait: Duration| tell(Step::Retrying(wait.as_secs().max(1)));
                    again(&mut retries, error, tell).await?;
                }
            }
        }
    }

    async fn blob_once(&self, tell: &mut impl FnMut(Step)) -> Result<(), RequestError> {
        let url = self.session.url("blobs/uploads/").map_err(RequestError::Final)?;
        let mut begin = Ask::new(Method::POST, &url);
        begin
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let begun = self.session.once(&begin).await?;
        let mut place = location(&Method::PUT, &url, &begun)?;
        place
            .query_pairs_mut()
            .append_pair("digest", self.digest.as_str());
        let mut all = Ask::new(Method::PUT, &place);
        all.headers.insert(CONTENT_TYPE, BINARY);
        all.content = Some(self.content);
        let mut sent = self.content.watch();
        let sending = self.session.once(&all);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                answer = &mut sending => return answer.map(drop),
                Ok(()) = sent.changed() => tell(Step::Moved(*sent.borrow_and_update())),
            }
        }
    }

    /// Brings a manifest and gives it a tag.
    pub(super) async fn manifest(&self, tag: &str, media_type: &str) -> Result<(), RequestError> {
        let url = self
            .session
            .url(&format!("manifests/{tag}"))
            .map_err(RequestError::Final)?;
        let mut ask = Ask::new(Method::PUT, &url);
        ask.headers.insert(CONTENT_TYPE, header(media_type)?);
        ask.content = Some(self.content);
        let mut retries = Retries::new(&self.patience);
        let response = loop {
            match self.session.once(&ask).await {
                Ok(response) => break response,
                Err(error) => again(&mut retries, error, |_| {}).await?,
            }
        };
        let told = response.headers().get("docker-content-digest");
        let told = told.and_then(|told| told.to_str().ok()?.parse::<Digest>().ok());
        match told {
            Some(told) if told != *self.digest => Err(RequestError::Final(altered(&url, self.digest, &told))),
            _ => Ok(()),
        }
    }
}

fn altered(url: &Url, digest: &Digest, told: &Digest) -> StoreError {
    let reason = format!(
        "the registry kept the manifest as {told} where {digest} was sent: a proxy on the way may have altered it, so \
         push again"
    );
    StoreError::invalid(shown(url), reason)
}

/// Waits for another try, or gives back an error that no other try mends.
async fn again(
    retries: &mut Retries,
    error: RequestError,
    tell: impl FnOnce(Duration),
) -> Result<(), RequestError> {
    match error {
        RequestError::Passing(error, after) => retries.next(error, after, tell).await,
        RequestError::Down(error) => retries.next(error, None, tell).await,
        RequestError::Refused(refusal)
            if refusal.status == StatusCode::NOT_FOUND && refusal.code == FORGOTTEN =>
        {
            retries.next(refusal.into_store(), None, tell).await
        }
        error => Err(error),
    }
}
