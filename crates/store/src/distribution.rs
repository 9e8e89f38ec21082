//! What a registry has under a reference (Docker Engine API, `GET /distribution/{name}/json`): where it points, and
//! for which platforms. An index says it itself; of a single image its config does.

use std::sync::Arc;

use crate::config::Credentials;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::image::ConfigFile;
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{Access, Client};
use crate::store::Inner;

/// What a reference points at in its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Of the manifest or index.
    pub media_type: String,
    /// Of the manifest or index.
    pub digest: Digest,
    /// Bytes of the manifest or index.
    pub size: u64,
    /// What its images are made for.
    pub platforms: Vec<Platform>,
}

pub(crate) async fn inspect(
    store: &Arc<Inner>,
    reference: &Reference,
    credentials: Option<&Credentials>,
) -> Result<Distribution, StoreError> {
    let transport = store.transport().await?;
    let client = Client::new(&transport, &store.config, reference, Access::Pull, credentials)?;
    let subject = reference.familiar();
    let (fetched, session) = client.resolve().await?;
    let told = fetched.content_type.split(';').next().unwrap_or_default().trim();
    let (inner_type, platforms) = match Document::parse(&subject, &fetched.content_type, &fetched.bytes)? {
        Document::Index(index) => {
            let platforms = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            let platforms = platforms.map(|platform| platform.platform()).collect();
            (index.media_type, platforms)
        }
        Document::Manifest(manifest) => {
            let limits = &store.config.limits;
            manifest.check(&subject, limits)?;
            let bytes = client
                .blob(session, &manifest.config.digest, limits.config)
                .await?;
            let config = ConfigFile::parse(&bytes).map_err(|error| {
                StoreError::invalid(&subject, format!("its config is malformed: {error}"))
            })?;
            (manifest.media_type, vec![config.platform()])
        }
    };
    let media_type = if inner_type.is_empty() {
        told.to_owned()
    } else {
        inner_type
    };
    Ok(Distribution {
        media_type,
        digest: fetched.digest,
        size: fetched.bytes.len() as u64,
        platforms,
    })
}
