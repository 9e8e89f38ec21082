//! Image layers: EROFS images at extents of the layer disk, mounted once and shared by containers.
//!
//! A layer stays mounted after its last container, so that the next start finds it; the host asks for its
//! release when it wants the extent back.

use std::collections::BTreeMap;
use std::fs;

use protocol::LayerExtent;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::boot::{Disk, EMPTY_LOWER, LAYERS};
use crate::device_mapper::DeviceMapper;
use crate::failure::{Context, Outcome, invalid};

/// The kernel's bound on overlay layers (fs/overlayfs/params.c, OVL_MAX_STACK).
const MAX_LAYERS: usize = 500;
/// EROFS blocks, and so extents, are aligned to this.
const ALIGNMENT: u64 = 4096;

/// The mounted layers.
#[derive(Debug)]
pub(crate) struct Layers {
    disk: Option<Disk>,
    mapper: Option<DeviceMapper>,
    mounted: BTreeMap<String, Mounted>,
}

/// One of them, by its diff ID.
#[derive(Debug)]
struct Mounted {
    extent: LayerExtent,
    /// Containers that have it in their root.
    users: usize,
}

impl Layers {
    /// No layer of this disk is mounted yet.
    pub(crate) fn new(disk: Option<Disk>) -> Self {
        Self {
            disk,
            mapper: None,
            mounted: BTreeMap::new(),
        }
    }

    /// Mounts what of these layers is not mounted yet, and counts one more user of each. Returns their
    /// directories in the same order, lowest first. On failure no user is counted.
    pub(crate) fn acquire(&mut self, extents: &[LayerExtent]) -> Outcome<Vec<String>> {
        if extents.len() > MAX_LAYERS {
            return Err(invalid(format!(
                "an image may have {MAX_LAYERS} layers and not {}",
                extents.len()
            )));
        }
        let mut directories = Vec::with_capacity(extents.len());
        for extent in extents {
            directories.push(self.ensure(extent)?);
        }
        for extent in extents {
            if let Some(mounted) = self.mounted.get_mut(&extent.diff_id) {
                mounted.users = mounted.users.saturating_add(1);
            }
        }
        if directories.is_empty() {
            directories.push(EMPTY_LOWER.to_owned());
        }
        Ok(directories)
    }

    /// Takes back one use of each of these layers.
    pub(crate) fn put_back(&mut self, extents: &[LayerExtent]) {
        for extent in extents {
            if let Some(mounted) = self.mounted.get_mut(&extent.diff_id) {
                mounted.users = mounted.users.saturating_sub(1);
            }
        }
    }

    /// Unmounts those of these layers that no container uses, and returns the ones that are not mounted now.
    pub(crate) fn release(&mut self, diff_ids: Vec<String>) -> Vec<String> {
        diff_ids
            .into_iter()
            .filter(|diff_id| self.forget(diff_id))
            .collect()
    }

    /// Whether the layer is not mounted, or not any more.
    fn forget(&mut self, diff_id: &str) -> bool {
        match self.mounted.get(diff_id) {
            None => true,
            Some(mounted) if mounted.users > 0 => false,
            Some(_) => {
                let Ok(digits) = digits_of(diff_id) else {
                    return true;
                };
                let directory = format!("{LAYERS}/{digits}");
                // EINVAL: unmounted by an earlier try whose device was still busy.
                let unmounted = unmount(&directory, UnmountFlags::empty());
                let gone = matches!(unmounted, Ok(()) | Err(Errno::INVAL))
                    && self
                        .mapper
                        .as_ref()
                        .is_none_or(|mapper| mapper.remove(digits).is_ok());
                if gone {
                    self.mounted.remove(diff_id);
                    let _ = fs::remove_dir(&directory);
                }
                gone
            }
        }
    }

    /// Mounts a layer if it is not mounted, and returns its directory.
    fn ensure(&mut self, extent: &LayerExtent) -> Outcome<String> {
        let digits = digits_of(&extent.diff_id)?;
        let directory = format!("{LAYERS}/{digits}");
        if let Some(mounted) = self.mounted.get(&extent.diff_id) {
            if mounted.extent == *extent {
                return Ok(directory);
            }
            if !self.forget(&extent.diff_id) {
                return Err(invalid(format!(
                    "layer {} is in use at another extent",
                    extent.diff_id
                )));
            }
        }
        if extent.length == 0
            || !extent.offset.is_multiple_of(ALIGNMENT)
            || !extent.length.is_multiple_of(ALIGNMENT)
        {
            return Err(invalid(format!(
                "the extent of layer {} is not aligned to {ALIGNMENT}",
                extent.diff_id
            )));
        }
        let disk = self
            .disk
            .as_ref()
            .ok_or_else(|| invalid("the machine has no layer disk"))?;
        let what = || format!("layer {} could not be mounted", extent.diff_id);
        let mapper = match &mut self.mapper {
            Some(mapper) => mapper,
            empty => empty.insert(DeviceMapper::open().context(what)?),
        };
        let device = mapper
            .create(digits, &disk.number, extent.offset, extent.length)
            .context(what)?;
        let result = fs::create_dir_all(&directory).context(what).and_then(|()| {
            mount(
                &device,
                &directory,
                "erofs",
                MountFlags::RDONLY | MountFlags::NODEV,
                None,
            )
            .context(what)
        });
        if let Err(failure) = result {
            let _ = mapper.remove(digits);
            return Err(failure);
        }
        self.mounted.insert(
            extent.diff_id.clone(),
            Mounted {
                extent: extent.clone(),
                users: 0,
            },
        );
        Ok(directory)
    }
}

/// The hexadecimal digits of a diff ID, which name its directory and its device.
fn digits_of(diff_id: &str) -> Outcome<&str> {
    diff_id
        .strip_prefix("sha256:")
        .filter(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| {
            invalid(format!(
                "{diff_id:?} is no layer's diff ID (sha256: and 64 digits)"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_id_with_a_path_in_it_is_refused() {
        assert!(digits_of(&format!("sha256:../{}", "a".repeat(61))).is_err());
        assert!(digits_of("sha256:").is_err());
        assert_eq!(
            digits_of(&format!("sha256:{}", "a".repeat(64))).unwrap(),
            "a".repeat(64)
        );
    }

    #[test]
    fn a_container_without_layers_gets_an_empty_lower_directory() {
        assert_eq!(Layers::new(None).acquire(&[]).unwrap(), [EMPTY_LOWER]);
    }

    #[test]
    fn an_unaligned_extent_is_refused() {
        let extent = LayerExtent {
            diff_id: format!("sha256:{}", "0".repeat(64)),
            offset: 512,
            length: 4096,
        };
        assert!(
            Layers::new(None)
                .acquire(&[extent])
                .unwrap_err()
                .message
                .contains("aligned")
        );
    }

    #[test]
    fn a_layer_that_is_not_mounted_counts_as_released() {
        let ids = vec![format!("sha256:{}", "0".repeat(64))];
        assert_eq!(Layers::new(None).release(ids.clone()), ids);
    }
}
