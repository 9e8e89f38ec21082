//! The write side of the distribution specification: blobs monolithically, manifests once all that they name is there.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use hyper::header::LOCATION;
use hyper::{Response, StatusCode, Uri};
use serde_json::Value;

use crate::content::{Blob, sha256};
use crate::server::{Body, error, reply};

/// Uploads that were begun, by their path.
#[derive(Default)]
pub(crate) struct Uploads {
    begun: usize,
    open: HashSet<String>,
}

impl Uploads {
    /// `POST …/blobs/uploads/`. The place to go on is a path, as the specification allows, with a query of its own.
    pub(crate) fn begin(&mut self, repository: &str) -> Response<Body> {
        self.begun += 1;
        let place = format!("/v2/{repository}/blobs/uploads/{}", self.begun);
        self.open.insert(place.clone());
        let location = format!("{place}?_state=a%2Bb");
        reply(StatusCode::ACCEPTED, &[(LOCATION.as_str(), &location)], "")
    }

    /// `PUT` of a whole blob.
    pub(crate) fn finish(
        &mut self,
        uri: &Uri,
        content: Bytes,
        blobs: &mut HashMap<String, Blob>,
    ) -> Response<Body> {
        if !self.open.remove(uri.path()) {
            return error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "upload unknown");
        }
        let digest = sha256(&content);
        let query = uri.query().unwrap_or_default();
        let state = query.split('&').any(|part| part == "_state=a%2Bb");
        let promised = query.split('&').find_map(|part| part.strip_prefix("digest="));
        let promised = promised.map(|digest| digest.replace("%3A", ":"));
        if !state || promised.as_ref() != Some(&digest) {
            return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "digest invalid");
        }
        blobs.insert(digest, Blob::Memory(content));
        reply(StatusCode::CREATED, &[], "")
    }
}

/// What is wrong with a manifest that was put, else the digests of its layers.
pub(crate) fn layers_of(
    manifest: &[u8],
    content_type: Option<&str>,
    blobs: &HashMap<String, Blob>,
) -> Result<Vec<String>, Box<Response<Body>>> {
    let refused = |code: &str| Box::new(error(StatusCode::BAD_REQUEST, code, "manifest refused"));
    let value: Value = serde_json::from_slice(manifest).map_err(|_| refused("MANIFEST_INVALID"))?;
    let told = value.get("mediaType").and_then(Value::as_str);
    if told.is_none() || told != content_type {
        return Err(refused("MANIFEST_INVALID"));
    }
    let layers = value
        .get("layers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let known = |descriptor: &Value| {
        let digest = descriptor.get("digest").and_then(Value::as_str)?;
        let size = descriptor.get("size").and_then(Value::as_u64)?;
        let blob = blobs.get(digest)?.bytes()?;
        (blob.len() as u64 == size).then(|| digest.to_owned())
    };
    value
        .get("config")
        .and_then(known)
        .ok_or_else(|| refused("MANIFEST_BLOB_UNKNOWN"))?;
    layers
        .map(|layer| known(layer).ok_or_else(|| refused("MANIFEST_BLOB_UNKNOWN")))
        .collect()
}
