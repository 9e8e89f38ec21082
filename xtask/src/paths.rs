//! Where things are: the checkout, its target folder, and the cache that outlives both.

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}

/// The folder of what is built once a machine: `SAMPAN_CACHE`, by default `~/.cache/sampan`.
pub fn cache() -> PathBuf {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("SAMPAN_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("sampan")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/sampan")))
        .unwrap_or_else(|| target().join("cache"))
}
