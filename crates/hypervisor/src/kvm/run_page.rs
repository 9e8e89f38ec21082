//! The parts of a vCPU's run page that `kvm_ioctls` does not give out as data: where the result of a read goes,
//! and the shape of a string instruction's I/O.

#![allow(unsafe_code, reason = "struct kvm_run is a C union with data behind its end")]

use kvm_bindings::{KVM_EXIT_IO_OUT, kvm_run};

/// An I/O exit: `count` elements of `size` bytes each, at `offset` from the start of the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct PortAccess {
    pub(super) port: u16,
    pub(super) size: u8,
    pub(super) count: u32,
    pub(super) write: bool,
    offset: u64,
}

/// The access behind the KVM_EXIT_IO that just happened.
pub(super) fn port_access(run: &kvm_run) -> PortAccess {
    // SAFETY: every bit pattern of the union's member is valid; that it is the meaningful one is the caller's
    // business and no matter of memory safety.
    let io = unsafe { run.__bindgen_anon_1.io };
    PortAccess {
        port: io.port,
        size: io.size.min(4),
        count: io.count,
        write: u32::from(io.direction) == KVM_EXIT_IO_OUT,
        offset: io.data_offset,
    }
}

/// One element of it.
pub(super) fn port_element<'a>(run: &'a mut kvm_run, access: &PortAccess, index: u32) -> &'a mut [u8] {
    let size = usize::from(access.size);
    let index = index.min(access.count.saturating_sub(1)) as usize;
    let start = (&raw mut *run)
        .cast::<u8>()
        .wrapping_add(access.offset as usize + index * size);
    // SAFETY: the kernel gave the offset and the count for this very page, whose mapping (KVM_GET_VCPU_MMAP_SIZE
    // bytes, longer than the struct) holds all elements; `run` is borrowed for as long as the result is.
    unsafe { std::slice::from_raw_parts_mut(start, size) }
}

/// The bytes of the KVM_EXIT_MMIO that just happened.
pub(super) fn mmio_data(run: &mut kvm_run) -> &mut [u8; 8] {
    // SAFETY: every bit pattern of the union's member is valid.
    unsafe { &mut run.__bindgen_anon_1.mmio.data }
}

/// The code of the KVM_EXIT_INTERNAL_ERROR that just happened.
pub(super) fn internal_error(run: &kvm_run) -> u32 {
    // SAFETY: every bit pattern of the union's member is valid.
    unsafe { run.__bindgen_anon_1.internal.suberror }
}
