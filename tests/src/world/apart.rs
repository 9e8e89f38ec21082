//! A mount namespace of a scenario's own (mount_namespaces(7)): what is mounted or covered in it, only the programs
//! started from within see.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
};
use rustix::thread::{CapabilitySet, UnshareFlags, remove_capability_from_bounding_set};

/// Whether this process may make one.
pub fn is_possible() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs the body on a thread with a mount namespace of its own.
pub fn apart(body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare_mounts();
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
            body();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[allow(
    unsafe_code,
    reason = "unsharing file descriptors would be unsound, mounts are not"
)]
fn unshare_mounts() {
    // SAFETY: descriptors stay shared; this thread gets mounts and a working folder of its own, as unshare(2) says.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
}

/// Mounts an empty file system of this many bytes.
pub fn mount_small(folder: &Path, bytes: u64) {
    let options = std::ffi::CString::new(format!("size={bytes},mode=0700")).unwrap();
    mount("small", folder, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
}

/// Puts a `/dev` in place in which `/dev/kvm` may be opened by nobody, not even by root's programs.
pub fn forbid_kvm(scratch: &Path) {
    mount_small(scratch, 1 << 20);
    let place = |name: &str| {
        let path = scratch.join(name);
        drop(File::create(&path).unwrap());
        path
    };
    mount_bind("/dev/null", place("null")).unwrap();
    fs::set_permissions(place("kvm"), Permissions::from_mode(0o000)).unwrap();
    mount_bind_recursive(scratch, "/dev").unwrap();
    // Programs started from here get what the bounding set leaves (capabilities(7)).
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        remove_capability_from_bounding_set(capability).unwrap();
    }
}
