//! Finding, listing, naming and removing images.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::database::{ImageRecord, LayerRecord, Name, Snapshot};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::event::{DiskUsage, ImageUsage, Removal};
use crate::image::{ConfigFile, Image};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::Inner;

pub(crate) fn find(
    store: &Inner,
    name_or_id: &str,
    platform: Option<&Platform>,
) -> Result<Image, StoreError> {
    let snapshot = store.database.snapshot()?;
    let id = match lookup(&snapshot, name_or_id)? {
        Found::Id(id) => {
            let offered = snapshot.record(&id).map(|record| &record.platform);
            if let (Some(wanted), Some(offered)) = (platform, offered)
                && wanted.distance(offered).is_none()
            {
                return Err(wrong_platform(name_or_id, wanted));
            }
            id
        }
        Found::Names(names) => choose(store, &snapshot, name_or_id, &names, platform)?,
    };
    let record = snapshot
        .record(&id)
        .ok_or_else(|| StoreError::NoSuchImage(name_or_id.to_owned()))?;
    image(store, &snapshot, &id, record)
}

/// The image of one ID.
pub(crate) fn by_id(store: &Inner, id: &Digest) -> Result<Image, StoreError> {
    let snapshot = store.database.snapshot()?;
    let record = snapshot
        .record(id)
        .ok_or_else(|| StoreError::NoSuchImage(id.to_string()))?;
    image(store, &snapshot, id, record)
}

pub(crate) fn list(store: &Inner) -> Result<Vec<Image>, StoreError> {
    let snapshot = store.database.snapshot()?;
    let mut images = Vec::new();
    for (id, record) in &snapshot.images {
        images.push(image(store, &snapshot, id, record)?);
    }
    // RFC 3339 times of one zone sort as text.
    images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(images)
}

pub(crate) fn tag(store: &Inner, image_id: &str, target: &Reference) -> Result<(), StoreError> {
    let image = find(store, image_id, None)?;
    let tag = target.tag().ok_or_else(|| {
        StoreError::invalid(
            target.familiar(),
            "a name with a digest cannot be given, give a tag instead",
        )
    })?;
    let name = target.with_tag(tag)?.to_string();
    store.database.name(&image.id, &image.platform, &name)
}

/// Whether all these names lead to the image already.
pub(crate) fn has_names(
    store: &Inner,
    id: &Digest,
    platform: &Platform,
    names: &[String],
) -> Result<bool, StoreError> {
    let snapshot = store.database.snapshot()?;
    let platform = platform.to_string();
    Ok(names.iter().all(|name| {
        snapshot
            .names
            .iter()
            .any(|known| known.name == *name && known.platform == platform && known.image == *id)
    }))
}

pub(crate) fn remove(
    store: &Inner,
    name_or_id: &str,
    platforms: &[Platform],
    force: bool,
) -> Result<Vec<Removal>, StoreError> {
    let snapshot = store.database.snapshot()?;
    let wanted = |id: &Digest| {
        snapshot
            .record(id)
            .is_none_or(|record| record.platform.is_among(platforms))
    };
    let (untagged, candidates): (Vec<Name>, BTreeSet<Digest>) = match lookup(&snapshot, name_or_id)? {
        Found::Id(id) => {
            let names: Vec<Name> = snapshot
                .names
                .iter()
                .filter(|name| name.image == id)
                .cloned()
                .collect();
            let repositories: BTreeSet<&str> = names.iter().map(|name| repository(&name.name)).collect();
            if repositories.len() > 1 && !force {
                return Err(StoreError::ReferencedByMany(id.short().to_owned()));
            }
            (names, Some(id).filter(&wanted).into_iter().collect())
        }
        Found::Names(mut names) => {
            names.retain(|name| wanted(&name.image));
            let images = names.iter().map(|name| name.image.clone()).collect();
            (names, images)
        }
    };
    if let (true, Some(platform)) = (candidates.is_empty(), platforms.first()) {
        return Err(wrong_platform(name_or_id, platform));
    }
    let mut gone_names = untagged;
    let mut gone_images = Vec::new();
    for id in candidates {
        let left: Vec<&Name> = snapshot
            .names
            .iter()
            .filter(|name| name.image == id && !gone_names.contains(name))
            .collect();
        // Digests do not keep an image alive, as in Docker: they go with the last tag.
        if left.iter().all(|name| name.name.contains('@')) {
            gone_names.extend(left.into_iter().cloned());
            gone_images.push(id);
        } else {
            // A digest stays as long as its repository has a tag on the image.
            let tagged: BTreeSet<&str> = left
                .iter()
                .filter(|name| !name.name.contains('@'))
                .map(|name| repository(&name.name))
                .collect();
            let orphans = left
                .iter()
                .filter(|name| name.name.contains('@') && !tagged.contains(repository(&name.name)));
            gone_names.extend(orphans.map(|name| (*name).clone()).collect::<Vec<_>>());
        }
    }
    store.database.remove(&gone_names, &gone_images)?;
    let mut told = BTreeSet::new();
    let mut removals = Vec::new();
    for name in &gone_names {
        let shown = familiar(&name.name);
        // It may still be that of another platform's image.
        let stays = snapshot
            .names
            .iter()
            .any(|other| other.name == name.name && !gone_names.contains(other));
        if !stays && told.insert(shown.clone()) {
            removals.push(Removal::Untagged(shown));
        }
    }
    let before = store.content.all()?;
    store.collect()?;
    let after = store.content.all()?;
    for id in &gone_images {
        removals.push(Removal::Deleted(id.to_string()));
        let layers = snapshot
            .record(id)
            .map(|record| record.layers.as_slice())
            .unwrap_or_default();
        let chain = chain_ids(layers.iter().map(|layer| &layer.diff_id));
        for (layer, chain_id) in layers.iter().zip(chain).rev() {
            let deleted = before.contains(&layer.diff_id) && !after.contains(&layer.diff_id);
            if deleted && told.insert(chain_id.to_string()) {
                removals.push(Removal::Deleted(chain_id.to_string()));
            }
        }
    }
    Ok(removals)
}

pub(crate) fn disk_usage(store: &Inner) -> Result<DiskUsage, StoreError> {
    let snapshot = store.database.snapshot()?;
    let records = snapshot.images.iter().flat_map(|(_, record)| &record.layers);
    let shown: BTreeMap<&Digest, u64> = records
        .map(|layer| (&layer.diff_id, layer.shown_size()))
        .collect();
    // What belongs to no image is as long as its file.
    let length = |layer: &Digest| {
        let file = || store.content.layer(layer).map_or(0, |layer| layer.length);
        shown.get(layer).copied().unwrap_or_else(file)
    };
    let distinct = |record: &ImageRecord| -> BTreeSet<Digest> {
        record.layers.iter().map(|layer| layer.diff_id.clone()).collect()
    };
    let images = snapshot.images.iter().map(|(id, record)| {
        let own = distinct(record);
        let others: BTreeSet<Digest> = snapshot
            .images
            .iter()
            .filter(|(other, _)| other != id)
            .flat_map(|(_, other)| distinct(other))
            .collect();
        let size = own.iter().map(length).sum();
        let shared = own.intersection(&others).map(length).sum();
        ImageUsage {
            id: id.clone(),
            size,
            shared,
        }
    });
    let images = images.collect();
    Ok(DiskUsage {
        layers: store.content.all()?.iter().map(length).sum(),
        images,
    })
}

enum Found {
    Id(Digest),
    /// The same name for one or more platforms.
    Names(Vec<Name>),
}

/// In Docker's order: a whole ID, a name, the start of an ID.
fn lookup(snapshot: &Snapshot, name_or_id: &str) -> Result<Found, StoreError> {
    let hex = name_or_id.strip_prefix("sha256:").unwrap_or(name_or_id);
    let is_hex = !hex.is_empty() && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let by_prefix: Vec<&Digest> = snapshot
        .images
        .iter()
        .map(|(id, _)| id)
        .filter(|id| is_hex && id.hex().starts_with(hex))
        .collect();
    if let ([id], 64) = (by_prefix.as_slice(), hex.len()) {
        return Ok(Found::Id((*id).clone()));
    }
    let reference = name_or_id.parse::<Reference>();
    if let Ok(reference) = &reference {
        let key = match reference.digest() {
            Some(digest) => reference.with_digest(digest.clone()).to_string(),
            None => reference.to_string(),
        };
        let names: Vec<Name> = snapshot
            .names
            .iter()
            .filter(|name| name.name == key)
            .cloned()
            .collect();
        if !names.is_empty() {
            return Ok(Found::Names(names));
        }
    }
    match (by_prefix.as_slice(), reference) {
        ([id], _) => Ok(Found::Id((*id).clone())),
        ([_, _, ..], _) => Err(StoreError::AmbiguousPrefix(hex.to_owned())),
        ([], Ok(reference)) => Err(StoreError::NoSuchImage(reference.familiar())),
        ([], Err(_)) if is_hex => Err(StoreError::NoSuchImage(name_or_id.to_owned())),
        ([], Err(error)) => Err(error.into()),
    }
}

fn choose(
    store: &Inner,
    snapshot: &Snapshot,
    shown: &str,
    names: &[Name],
    platform: Option<&Platform>,
) -> Result<Digest, StoreError> {
    let wanted = platform.unwrap_or(&store.config.default_platform);
    let offered = names.iter().filter_map(|name| {
        let distance = wanted.distance(&snapshot.record(&name.image)?.platform)?;
        Some((distance, &name.image))
    });
    let best = offered
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, id)| id.clone());
    match (best, names, platform) {
        (Some(best), _, _) => Ok(best),
        (None, [first, ..], None) => Ok(first.image.clone()),
        (None, _, Some(platform)) => Err(wrong_platform(shown, platform)),
        (None, [], None) => Err(StoreError::NoSuchImage(shown.to_owned())),
    }
}

fn wrong_platform(name: &str, platform: &Platform) -> StoreError {
    StoreError::WrongPlatform {
        name: name.to_owned(),
        platform: platform.to_string(),
    }
}

fn image(store: &Inner, snapshot: &Snapshot, id: &Digest, record: &ImageRecord) -> Result<Image, StoreError> {
    let bytes = store
        .database
        .config(id)?
        .ok_or_else(|| StoreError::NoSuchImage(id.to_string()))?;
    let config = ConfigFile::parse(&bytes).map_err(|error| StoreError::invalid(id.as_str(), error))?;
    let names: BTreeSet<String> = snapshot
        .names
        .iter()
        .filter(|name| name.image == *id)
        .map(|name| familiar(&name.name))
        .collect();
    let (repo_digests, repo_tags) = names.into_iter().partition(|name| name.contains('@'));
    Ok(Image {
        id: id.clone(),
        platform: record.platform.clone(),
        repo_tags,
        repo_digests,
        size: record
            .layers
            .iter()
            .map(LayerRecord::shown_size)
            .fold(0, u64::saturating_add),
        layer_sizes: record.layers.iter().map(LayerRecord::shown_size).collect(),
        created: config.created,
        author: config.author,
        manifest_digest: record.manifest.clone(),
        config: config.config,
        history: config.history,
        layers: record
            .layers
            .iter()
            .map(|layer| store.content.layer_or_gap(&layer.diff_id))
            .collect(),
    })
}

/// The repository of a stored name.
fn repository(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn familiar(name: &str) -> String {
    name.parse::<Reference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}

/// Chain IDs (OCI image-spec, `config.md`): each names a layer on top of those below it.
fn chain_ids<'a>(diff_ids: impl Iterator<Item = &'a Digest>) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::new();
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => {
                let mut hasher = Sha256::new();
                hasher.update(below.as_str());
                hasher.update(b" ");
                hasher.update(diff_id.as_str());
                Digest::from_hasher(hasher)
            }
        };
        chain.push(next);
    }
    chain
}
