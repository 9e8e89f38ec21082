//! The body of an answer: bytes, JSON, or lines of it.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{ClientError, Result};

/// The longest line of a stream of JSON lines, in bytes.
const LONGEST_LINE: usize = 16 << 20;

/// The body of an answer as it comes.
#[derive(Debug)]
pub(crate) struct Body(pub(super) Incoming);

impl Body {
    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.0.frame().await {
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole of it as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let mut lines = self.lines();
        let line = lines
            .next()
            .await?
            .ok_or_else(|| ClientError::Broken("it ended early".to_owned()))?;
        serde_json::from_slice(&line).map_err(|error| ClientError::Answer(error.to_string()))
    }

    /// Its lines.
    pub(crate) fn lines(self) -> Lines {
        Lines {
            body: self,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }
}

/// The lines of a body.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    searched: usize,
}

impl Lines {
    /// The next line without its end; empty lines are passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(found) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line = self
                    .buffer
                    .split_to(self.searched.saturating_add(found).saturating_add(1));
                self.searched = 0;
                line.truncate(line.trim_ascii_end().len());
                if !line.is_empty() {
                    return Ok(Some(line.freeze()));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST_LINE {
                return Err(ClientError::Answer(format!(
                    "a line is longer than {LONGEST_LINE} bytes"
                )));
            }
            match self.body.chunk().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => {
                    self.searched = 0;
                    let rest = self.buffer.split();
                    let rest = rest.trim_ascii();
                    return Ok((!rest.is_empty()).then(|| Bytes::copy_from_slice(rest)));
                }
            }
        }
    }
}
