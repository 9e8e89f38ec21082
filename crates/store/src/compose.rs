//! Images that are made here: a base image and one more layer (`commit`), or a layer alone (`import`).

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncRead;

use crate::database::ImageRecord;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::layer::Source;
use crate::load;
use crate::platform::Platform;
use crate::pull::make_layer;
use crate::reference::Reference;
use crate::store::{Inner, blocking};

/// An image to be made.
#[derive(Clone, Debug)]
pub struct Composition {
    /// The image that the layer comes on top of.
    pub base: Option<Digest>,
    /// What it is for; with a base that of the base counts.
    pub platform: Platform,
    /// Docker's `config`: what a container of the image runs.
    pub config: Value,
    /// RFC 3339.
    pub created: String,
    pub author: String,
    pub comment: String,
    /// The command that made the layer.
    pub created_by: String,
    pub names: Vec<Reference>,
}

/// Makes the image of an uncompressed or compressed tar, and returns its ID. When it returns, the image survives a
/// power cut.
pub(crate) async fn compose(
    store: &Arc<Inner>,
    layer: impl AsyncRead + Unpin + Send,
    composition: Composition,
) -> Result<Digest, StoreError> {
    let scratch = load::spool(store, layer).await?;
    let store = Arc::clone(store);
    blocking(move || {
        let failed = |error: io::Error| StoreError::io(&store.config.root, error);
        let file = load::inflated(&store, scratch).map_err(failed)?;
        let diff_id = digest_of(file.reopen().map_err(failed)?).map_err(failed)?;
        let _lease = store.lease([diff_id.clone()].into_iter());
        let layer = {
            let _making = store.making(&diff_id).blocking_lock_owned();
            let source = Source::Reader(Box::new(file.reopen().map_err(failed)?));
            make_layer(&store, source, None, &diff_id, store.content.draft()?)?
        };
        let (mut config, mut record) = base(&store, &composition)?;
        record.layers.push(layer);
        fill(&mut config, &composition, &diff_id);
        let bytes = serde_json::to_vec(&Value::Object(config))
            .map_err(|error| StoreError::Archive(format!("the image's config cannot be written: {error}")))?;
        let id = Digest::of(&bytes);
        let names: Vec<String> = composition.names.iter().map(Reference::to_string).collect();
        store.database.put(&id, &bytes, &record, &names)?;
        Ok(id)
    })
    .await
}

/// The config file and record to build on.
fn base(store: &Inner, composition: &Composition) -> Result<(Map<String, Value>, ImageRecord), StoreError> {
    let Some(id) = &composition.base else {
        let platform = &composition.platform;
        let mut config = Map::new();
        config.insert("architecture".to_owned(), json!(platform.architecture));
        config.insert("os".to_owned(), json!(platform.os));
        if let Some(variant) = &platform.variant {
            config.insert("variant".to_owned(), json!(variant));
        }
        let record = ImageRecord {
            platform: platform.clone(),
            manifest: None,
            layers: Vec::new(),
        };
        return Ok((config, record));
    };
    let missing = || StoreError::NoSuchImage(id.to_string());
    let bytes = store.database.config(id)?.ok_or_else(missing)?;
    let config: Value = serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::Archive(format!("the config of image {id} is malformed: {error}")))?;
    let snapshot = store.database.snapshot()?;
    let mut record = snapshot.record(id).ok_or_else(missing)?.clone();
    record.manifest = None;
    match config {
        Value::Object(config) => Ok((config, record)),
        _ => Err(StoreError::Archive(format!(
            "the config of image {id} is no object"
        ))),
    }
}

fn fill(config: &mut Map<String, Value>, composition: &Composition, diff_id: &Digest) {
    config.insert("created".to_owned(), json!(composition.created));
    if !composition.author.is_empty() {
        config.insert("author".to_owned(), json!(composition.author));
    }
    config.insert("config".to_owned(), composition.config.clone());
    // What an old builder noted of its own container.
    config.remove("container");
    config.remove("container_config");
    let root = config
        .entry("rootfs")
        .or_insert_with(|| json!({ "type": "layers", "diff_ids": [] }));
    if let Some(Value::Array(diff_ids)) = root.get_mut("diff_ids") {
        diff_ids.push(json!(diff_id.to_string()));
    }
    let mut step = json!({ "created": composition.created, "created_by": composition.created_by });
    if let Value::Object(step) = &mut step {
        for (name, text) in [("author", &composition.author), ("comment", &composition.comment)] {
            if !text.is_empty() {
                step.insert(name.to_owned(), json!(text));
            }
        }
    }
    match config.entry("history").or_insert_with(|| json!([])) {
        Value::Array(history) => history.push(step),
        other => *other = json!([step]),
    }
}

fn digest_of(mut file: File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest::from_hasher(hasher));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}
