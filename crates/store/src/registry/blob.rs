//! Downloads of layers. A connection that breaks or stalls is taken up where it broke off, with a range request;
//! a registry that does not do ranges sends everything again, and what is there already is passed over.

use reqwest::{Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::failure::{self, RequestError, Retries, unreachable};
use super::session::Session;
use crate::config::Patience;
use crate::error::StoreError;
use crate::layer::Feed;

/// Tells how a download or an upload goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Bytes received or sent so far.
    Moved(u64),
    /// Broken off; goes on after so many seconds.
    Retrying(u64),
}

/// One layer to fetch.
pub(crate) struct Download<'a> {
    pub(crate) session: &'a Session,
    pub(crate) url: Url,
    pub(crate) size: u64,
    pub(crate) patience: Patience,
}

impl Download<'_> {
    /// Feeds the bytes from `offset` on. Returns early, without error, when nobody takes them any more.
    pub(crate) async fn run(
        &self,
        mut offset: u64,
        feed: mpsc::Sender<Feed>,
        mut tell: impl FnMut(Step),
    ) -> Result<(), StoreError> {
        let mut retries = Retries::new(&self.patience);
        let mut ranges = true;
        while offset < self.size || self.size == 0 {
            let before = offset;
            let from = if ranges { offset } else { 0 };
            let result = match self.session.get_once(&self.url, &[], from).await {
                Ok(response) => self.receive(response, &mut offset, &feed, &mut tell).await,
                Err(error) => Err(error),
            };
            if offset > before {
                retries.reset();
            }
            match result {
                Ok(Received::Everything) => break,
                Ok(Received::Unwanted) => return Ok(()),
                Err(RequestError::Refused(refusal))
                    if refusal.status == StatusCode::RANGE_NOT_SATISFIABLE && ranges && offset > 0 =>
                {
                    ranges = false;
                }
                Err(RequestError::Passing(error, after)) => {
                    let tell = |wait: std::time::Duration| tell(Step::Retrying(wait.as_secs().max(1)));
                    retries
                        .next(error, after, tell)
                        .await
                        .map_err(RequestError::into_store)?;
                }
                Err(RequestError::Down(error)) => {
                    let tell = |wait: std::time::Duration| tell(Step::Retrying(wait.as_secs().max(1)));
                    retries
                        .next(error, None, tell)
                        .await
                        .map_err(RequestError::into_store)?;
                }
                Err(error) => return Err(error.into_store()),
            }
        }
        // Nobody there is no error here either.
        let _ = feed.send(Feed::End).await;
        Ok(())
    }

    async fn receive(
        &self,
        mut response: Response,
        offset: &mut u64,
        feed: &mpsc::Sender<Feed>,
        tell: &mut impl FnMut(Step),
    ) -> Result<Received, RequestError> {
        let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT {
            let start = range_start(&response);
            if start != Some(*offset) {
                let reason = "it answers a range request with another range";
                return Err(RequestError::Final(StoreError::invalid(
                    self.url.as_str(),
                    reason,
                )));
            }
            0
        } else {
            *offset
        };
        while let Some(mut chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(&self.url, error))?
        {
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= skipped as u64;
            let chunk = chunk.split_off(skipped);
            if chunk.is_empty() {
                continue;
            }
            let length = chunk.len() as u64;
            if feed.send(Feed::Data(chunk)).await.is_err() {
                return Ok(Received::Unwanted);
            }
            *offset = offset.saturating_add(length);
            tell(Step::Moved(*offset));
        }
        if *offset >= self.size {
            return Ok(Received::Everything);
        }
        let reason = format!("the layer ended after {offset} of {} bytes", self.size);
        let error = StoreError::Unreachable {
            url: failure::shown(&self.url),
            reason,
        };
        Err(RequestError::Passing(error, None))
    }
}

enum Received {
    Everything,
    /// The other end of the feed is gone.
    Unwanted,
}

/// The first byte of `Content-Range: bytes first-last/length`.
fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}
