//! Finding disks by their virtio-blk serial (virtio 1.3, section 5.2.6, VIRTIO_BLK_T_GET_ID), which the kernel
//! shows in /sys/block/<disk>/serial. The order in which disks were probed says nothing.

use std::fs;

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, such as `vda`.
    name: String,
    /// `major:minor`, as device-mapper tables and cgroup files take it.
    pub(crate) number: String,
}

impl Disk {
    /// Its node in /dev.
    pub(crate) fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }
}

/// The disk with this serial.
pub(crate) fn find(serial: &str) -> Option<Disk> {
    fs::read_dir("/sys/block").ok()?.flatten().find_map(|entry| {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).ok();
        if read("serial")?.trim_end_matches(['\n', '\0']) != serial {
            return None;
        }
        let name = entry.file_name().into_string().ok()?;
        Some(Disk {
            name,
            number: read("dev")?.trim().to_owned(),
        })
    })
}
