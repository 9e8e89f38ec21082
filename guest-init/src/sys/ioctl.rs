//! ioctl(2) requests that have no wrapper elsewhere, and mount_setattr(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::check;

/// Brings the loopback interface of this network namespace up (netdevice(7)).
#[allow(unsafe_code, reason = "SIOCSIFFLAGS takes a C struct with a union")]
pub(crate) fn bring_loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = byte.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq` with its name and flags set.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) }.into())
        .map(drop)
}

/// Adds bytes to the kernel's entropy pool and credits them in full (random(4), RNDADDENTROPY).
#[allow(unsafe_code, reason = "RNDADDENTROPY takes a C struct")]
pub(crate) fn add_entropy(random: impl AsFd, bytes: &[u8; 32]) -> io::Result<()> {
    /// `struct rand_pool_info` with its flexible array filled.
    #[repr(C)]
    struct PoolInfo {
        entropy_bits: libc::c_int,
        length: libc::c_int,
        bytes: [u8; 32],
    }
    /// _IOW('R', 0x03, int[2])
    const RNDADDENTROPY: u32 = 0x4008_5203;
    let info = PoolInfo {
        entropy_bits: 256,
        length: 32,
        bytes: *bytes,
    };
    // SAFETY: the struct is laid out as the kernel reads it, with `length` bytes behind the header.
    check(unsafe { libc::ioctl(random.as_fd().as_raw_fd(), RNDADDENTROPY as _, &raw const info) }.into())
        .map(drop)
}

/// A device-mapper ioctl: `buffer` begins with a `struct dm_ioctl` that says its length.
#[allow(unsafe_code, reason = "the kernel writes its answer into the buffer")]
pub(crate) fn device_mapper(control: impl AsFd, request: u32, buffer: &mut [u8]) -> io::Result<()> {
    // SAFETY: `device_mapper` builds the buffer with `data_size` equal to its length, which is all that the
    // kernel reads or writes.
    check(unsafe { libc::ioctl(control.as_fd().as_raw_fd(), request as _, buffer.as_mut_ptr()) }.into())
        .map(drop)
}

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 4;

/// Attributes of a mount to set and to clear: `MOUNT_ATTR_…` bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

/// Makes a mount read-only, with the mounts below it or alone. An empty path is the mount behind the descriptor
/// itself.
pub(crate) fn make_read_only(mount: impl AsFd, path: &CStr, recursive: bool) -> io::Result<()> {
    let attributes = MountAttributes {
        set: MOUNT_ATTR_RDONLY,
        clear: 0,
    };
    set_mount_attributes(mount, path, recursive, attributes)
}

/// Changes a mount's attributes (mount_setattr(2)). An empty path is the mount behind the descriptor itself.
#[allow(unsafe_code, reason = "mount_setattr has no safe wrapper")]
pub(crate) fn set_mount_attributes(
    mount: impl AsFd,
    path: &CStr,
    recursive: bool,
    change: MountAttributes,
) -> io::Result<()> {
    /// linux/mount.h, `struct mount_attr`.
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = Attributes {
        set: change.set,
        clear: change.clear,
        propagation: 0,
        user_namespace: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let mount = mount.as_fd().as_raw_fd();
    // SAFETY: the path is NUL-terminated and the attributes are valid for their length.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    })
    .map(drop)
}
