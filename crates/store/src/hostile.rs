//! A hostile registry's bytes, for every parser of the store.
//!
//! The property test below and the fuzz target in `fuzz/` share it. Nothing is asserted but that it returns: a panic, an
//! endless loop or memory without bound is the defect.

use std::io::Cursor;

use crate::config::Limits;
use crate::image::ConfigFile;
use crate::layer::{LayerFiles, Source, ingest};
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::Reference;

/// Small, so that an archive that grows ends soon.
const LIMITS: Limits = Limits {
    manifest: 1 << 20,
    config: 1 << 20,
    layers: 50,
    layer: 16 << 20,
    ratio_floor: 4 << 20,
    ratio: 200,
    entries: 10_000,
    metadata: 4 << 20,
    free_disk: 0,
};

/// Feeds `data` to one of the parsers.
pub fn run(data: &[u8]) {
    let Some((parser, data)) = data.split_first() else {
        return;
    };
    match parser % 4 {
        0 => layer(data),
        1 => manifest(data),
        2 => drop(ConfigFile::parse(data)),
        _ => names(data),
    }
}

/// A layer of whatever compression it claims to have.
fn layer(data: &[u8]) {
    let files = || Ok::<_, std::io::Error>((tempfile::tempfile()?, tempfile::tempfile()?));
    let Ok((image, recipe)) = files() else { return };
    let files = LayerFiles {
        image,
        recipe,
        folder: &std::env::temp_dir(),
    };
    let source = Source::Reader(Box::new(Cursor::new(data.to_vec())));
    drop(ingest(source, None, files, &LIMITS));
}

/// An index or a manifest; what is taken of it is looked at as a pull does.
fn manifest(data: &[u8]) {
    match Document::parse("image", "", data) {
        Ok(Document::Manifest(manifest)) => drop(manifest.check("image", &LIMITS)),
        Ok(Document::Index(index)) => {
            let platform = Platform::linux(protocol::Architecture::Arm64);
            drop(index.choose(&platform).map(|_| ()));
        }
        Err(_) => {}
    }
}

/// A reference reads back as it was written.
fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(reference) = text.parse::<Reference>() {
        drop(reference.to_string().parse::<Reference>());
    }
    drop(text.parse::<Platform>());
    drop(text.parse::<crate::Digest>());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::run;

    proptest! {
        #[test]
        fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 1..2000)) {
            run(&data);
        }

        #[test]
        fn any_json_like_text_is_survived(parser in 0u8..4, text in "[\\[\\]{}:,\"a-z0-9/@.-]{0,300}") {
            run(&[&[parser], text.as_bytes()].concat());
        }
    }
}
