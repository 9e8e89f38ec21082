//! An image of a given size for benchmarks of pulls: files of many sizes whose bytes a compressor makes a third of,
//! as it does with programs, the same each time.

use anyhow::Result;

use super::definition::{Config, Definition};
use super::layer::Archive;
use super::tree::{Node, Tree};
use super::{Image, layout};
use crate::architecture::Architecture;
use crate::{paths, publish, run};

/// Raised when other bytes come out.
const RECIPE: u32 = 1;

/// The size of the smallest file in bytes; the largest has [`SIZES`] doublings more.
const SMALLEST: usize = 1 << 10;
const SIZES: u64 = 11;
/// Files in one folder.
const FOLDER: usize = 64;

/// Builds an image of `layers` layers with `layer_bytes` bytes of files in each, or takes it from the cache.
///
/// # Errors
/// Those of the file system.
pub fn build(arch: Architecture, layers: usize, layer_bytes: usize) -> Result<Image> {
    let name = format!("synthetic-{layers}x{}", layer_bytes / 1_000_000);
    let layout = paths::cache()
        .join("images")
        .join(format!("{name}-{}-{RECIPE}", arch.docker()));
    let tags = vec!["latest".to_owned()];
    publish::once(&layout, |draft| {
        run::step(&format!("building the image {name} for {}", arch.docker()));
        let mut noise = Noise(0x2545_f491_4f6c_dd1d);
        let archives = (0..layers)
            .map(|layer| {
                let archive = Archive {
                    tar: tree(layer, layer_bytes, &mut noise).to_tar(&[])?,
                    made_by: format!("layer {layer}"),
                };
                Ok(archive)
            })
            .collect::<Result<Vec<_>>>()?;
        let definition = Definition {
            tags: tags.clone(),
            config: Config::default(),
            layers: Vec::new(),
        };
        layout::write(draft, &definition, vec![(arch, archives)])
    })?;
    Ok(Image { name, tags, layout })
}

/// The files of one layer, none of which another layer has.
fn tree(layer: usize, bytes: usize, noise: &mut Noise) -> Tree {
    let mut tree = Tree::default();
    let (mut left, mut number) = (bytes, 0);
    while left > 0 {
        let size = (SMALLEST << noise.below(SIZES + 1)).min(left);
        let path = format!("layer-{layer}/{}/{number}", number / FOLDER);
        tree.insert(&path, Node::file(noise.content(size), 0o644));
        left -= size;
        number += 1;
    }
    tree
}

/// Marsaglia's xorshift.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Eight random bytes, then one of sixteen words of thirteen bytes, over and over.
    fn content(&mut self, size: usize) -> Vec<u8> {
        const WORD: usize = 13;
        const WORDS: &[u8] = b"a container  has a name   and an image  that has layers and a config  \
            of its own   which tells   what is run   as which user  in which      folder, and   \
            with what     environment, and what ports     are exposed.";
        let mut content = Vec::with_capacity(size + WORD + 8);
        while content.len() < size {
            let random = self.next();
            content.extend_from_slice(&random.to_le_bytes());
            let word = (random >> 32) as usize % (WORDS.len() / WORD);
            content.extend_from_slice(WORDS.get(word * WORD..(word + 1) * WORD).unwrap_or_default());
        }
        content.truncate(size);
        content
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_layer_holds_the_bytes_that_were_asked_for() {
        let tar = tree(0, 1_000_000, &mut Noise(1)).to_tar(&[]).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let sizes = archive.entries().unwrap().map(|entry| entry.unwrap().size());
        assert_eq!(sizes.sum::<u64>(), 1_000_000);
    }

    #[test]
    fn its_content_compresses_as_programs_do() {
        let content = Noise(1).content(1 << 20);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        gzip.write_all(&content).unwrap();
        let ratio = content.len() as f64 / gzip.finish().unwrap().len() as f64;
        assert!((1.8..3.5).contains(&ratio), "{ratio}");
    }
}
