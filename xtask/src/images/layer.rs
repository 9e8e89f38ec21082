//! From a definition to the archives of its layers for one architecture.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::definition::{Definition, Layer};
use super::tree::{Kind, Node, Tree};
use crate::architecture::Architecture;
use crate::setup::debian::{Debian, Package, Packages};
use crate::{musl, paths, publish, run};

/// A layer as a tar archive.
pub(super) struct Archive {
    pub(super) tar: Vec<u8>,
    /// What made it, for the image's history.
    pub(super) made_by: String,
}

/// Builds the layers of `definition`, which lies in `folder`, from the lowest up.
pub(super) fn build(
    definition: &Definition,
    folder: &Path,
    debian: &Debian,
    arch: Architecture,
) -> Result<Vec<Archive>> {
    let mut image = Tree::default();
    let mut below = BTreeSet::new();
    let mut archives = Vec::new();
    for layer in &definition.layers {
        let packages = new_packages(layer, &mut below, debian, arch)?;
        let mut added = unpack(&packages, debian, arch)?;
        layer.prune.iter().for_each(|path| {
            added.remove(path);
        });
        for (from, to) in &layer.moves {
            added.rename(from, to)?;
        }
        let mut tree = image.clone();
        tree.merge(added);
        add_own(&mut tree, layer, folder, debian, arch)?;
        for path in &layer.remove {
            if !image.contains(path) {
                bail!("no layer below has {path}, which is to be removed");
            }
            tree.remove(path);
        }
        tree.check()?;
        archives.push(Archive {
            tar: tree.over(&image).to_tar(&layer.remove)?,
            made_by: made_by(layer, &packages),
        });
        image = tree;
    }
    Ok(archives)
}

/// The packages that this layer adds to those `below`, which grow by them.
fn new_packages(
    layer: &Layer,
    below: &mut BTreeSet<String>,
    debian: &Debian,
    arch: Architecture,
) -> Result<Packages> {
    if layer.packages.is_empty() {
        return Ok(Packages::new());
    }
    let without: Vec<_> = layer.without.iter().chain(below.iter()).cloned().collect();
    let packages = debian.closure(&layer.packages, &without, arch)?;
    below.extend(packages.keys().cloned());
    Ok(packages)
}

/// The files of all these packages.
fn unpack(packages: &Packages, debian: &Debian, arch: Architecture) -> Result<Tree> {
    let mut tree = Tree::default();
    if packages.is_empty() {
        return Ok(tree);
    }
    let downloads = paths::cache()
        .join("images")
        .join(format!(".packages-{}", arch.docker()));
    let _lock = publish::lock(&downloads)?;
    publish::remove(&downloads)?;
    let wanted: Vec<_> = packages.values().map(Package::specification).collect();
    debian.download(&wanted, &downloads)?;
    let mut files = fs::read_dir(&downloads)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        let mut unpack = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run dpkg-deb")?;
        let stdout = unpack.stdout.take().context("the output of dpkg-deb")?;
        tree.extend_from_tar(std::io::BufReader::new(stdout))
            .with_context(|| format!("cannot read {}", file.display()))?;
        if !unpack.wait()?.success() {
            bail!("dpkg-deb cannot read {}", file.display());
        }
    }
    publish::remove(&downloads)?;
    Ok(tree)
}

/// Adds what does not come from packages.
fn add_own(tree: &mut Tree, layer: &Layer, folder: &Path, debian: &Debian, arch: Architecture) -> Result<()> {
    for (path, folder) in &layer.folders {
        tree.insert(
            path,
            Node {
                kind: Kind::Folder,
                mode: folder.mode,
                uid: folder.uid,
                gid: folder.gid,
            },
        );
    }
    if let Some(files) = &layer.files {
        add_folder(tree, &folder.join(files), "")?;
    }
    for (path, program) in &layer.programs {
        let built = musl::build(&program.package, &program.bin, arch)?;
        tree.insert(path, Node::file(fs::read(built)?, 0o755));
    }
    if let Some(path) = &layer.busybox {
        for applet in applets(debian)? {
            if !tree.contains(&applet) {
                tree.insert(&applet, Node::link(&format!("/{path}")));
            }
        }
    }
    for (path, target) in &layer.links {
        tree.insert(path, Node::link(target));
    }
    Ok(())
}

fn add_folder(tree: &mut Tree, folder: &Path, at: &str) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{at}{}", name.to_str().context("a file name that is not UTF-8")?);
        if entry.file_type()?.is_dir() {
            add_folder(tree, &entry.path(), &format!("{path}/"))?;
        } else {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            let content = fs::read(entry.path())?;
            tree.insert(&path, Node::file(content, if executable { 0o755 } else { 0o644 }));
        }
    }
    Ok(())
}

/// The paths of busybox's applets, as the package for this machine's architecture tells them: both are of one
/// version and one configuration.
fn applets(debian: &Debian) -> Result<Vec<String>> {
    let host = Architecture::of_host()?;
    let folder = paths::cache().join("images").join(".busybox");
    let _lock = publish::lock(&folder)?;
    publish::remove(&folder)?;
    debian.download(&[format!("busybox-static:{}", host.docker())], &folder)?;
    for file in fs::read_dir(&folder)?.collect::<std::io::Result<Vec<_>>>()? {
        run::run(Command::new("dpkg-deb").arg("-x").arg(file.path()).arg(&folder))?;
    }
    let list = run::output(Command::new(folder.join("usr/bin/busybox")).arg("--list-full"))?;
    publish::remove(&folder)?;
    Ok(list
        .lines()
        .map(|line| line.trim_start_matches('/').to_owned())
        .collect())
}

fn made_by(layer: &Layer, packages: &Packages) -> String {
    let versions: Vec<_> = packages
        .values()
        .map(|package| format!("{}={}", package.name, package.version))
        .collect();
    if versions.is_empty() {
        layer.comment.clone()
    } else {
        format!("{} # {}", layer.comment, versions.join(" "))
    }
}
