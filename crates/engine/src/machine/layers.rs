//! Which image layers a guest has on its layer disk.
//!
//! A layer stays mapped after its container is gone: the next one starts without asking. It is taken away
//! only when its image goes, after the guest has unmounted it. Starts hold the gate for reading, so that no
//! layer goes away between its mapping and its mount.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use protocol::LayerExtent;
use store::ImageLayer;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::process::VmmProcess;
use crate::lock::LockExt;

#[derive(Clone, Debug)]
struct Mapped {
    path: PathBuf,
    extent: LayerExtent,
}

/// The layers that are mapped now, by diff ID.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    mapped: Mutex<HashMap<String, Mapped>>,
    gate: RwLock<()>,
}

impl Layers {
    /// Held from mapping a container's layers until the guest has started it.
    pub(crate) async fn in_use(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    /// How many of the layers are not mapped yet.
    pub(crate) fn missing(&self, layers: &[ImageLayer]) -> usize {
        let mapped = self.mapped.locked();
        let missing = |layer: &&ImageLayer| !mapped.contains_key(&layer.diff_id.to_string());
        layers.iter().filter(missing).count()
    }

    /// The extents of the layers, mapped where they are not yet, all at once.
    pub(crate) async fn map(
        &self,
        process: &VmmProcess,
        layers: &[ImageLayer],
    ) -> Result<Vec<LayerExtent>, String> {
        futures_util::future::try_join_all(layers.iter().map(|layer| self.map_one(process, layer))).await
    }

    async fn map_one(&self, process: &VmmProcess, layer: &ImageLayer) -> Result<LayerExtent, String> {
        let diff_id = layer.diff_id.to_string();
        if let Some(mapped) = self.mapped.locked().get(&diff_id) {
            return Ok(mapped.extent.clone());
        }
        let (offset, length) = process.map_layer(layer.path.clone()).await?;
        let extent = LayerExtent {
            diff_id: diff_id.clone(),
            offset,
            length,
        };
        self.mapped.locked().insert(
            diff_id,
            Mapped {
                path: layer.path.clone(),
                extent: extent.clone(),
            },
        );
        Ok(extent)
    }

    /// Takes away what is mapped of these layers: `release` asks the guest to unmount them and tells which it
    /// did.
    pub(crate) async fn unmap<F>(
        &self,
        process: &VmmProcess,
        diff_ids: &[String],
        release: impl FnOnce(Vec<String>) -> F,
    ) where
        F: Future<Output = Vec<String>>,
    {
        let _gate = self.gate.write().await;
        let mapped: Vec<String> = {
            let mapped = self.mapped.locked();
            diff_ids
                .iter()
                .filter(|diff_id| mapped.contains_key(*diff_id))
                .cloned()
                .collect()
        };
        if mapped.is_empty() {
            return;
        }
        for diff_id in release(mapped).await {
            let entry = self.mapped.locked().remove(&diff_id);
            if let Some(entry) = entry {
                process.unmap_layer(entry.path).await;
            }
        }
    }
}
