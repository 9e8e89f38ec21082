//! What CPUID tells the guest: what KVM supports on this host, with each vCPU's own number in it.
//!
//! Leaves: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; the kernel's Documentation/virt/kvm/x86/cpuid.rst.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm, VmFd};

use crate::Error;

pub(super) fn for_vcpu(vm: &VmFd, index: u32) -> Result<CpuId, Error> {
    let system = Kvm::new().map_err(Error::host("open /dev/kvm again"))?;
    let mut cpuid = system
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(Error::host("say what the processor offers"))?;
    let deadline_timer = vm.check_extension(Cap::TscDeadlineTimer);
    for entry in cpuid.as_mut_slice() {
        specialize(entry, index, deadline_timer);
    }
    Ok(cpuid)
}

fn specialize(entry: &mut kvm_cpuid_entry2, index: u32, deadline_timer: bool) {
    const X2APIC: u32 = 1 << 21;
    const TSC_DEADLINE: u32 = 1 << 24;
    const HYPERVISOR: u32 = 1 << 31;
    match entry.function {
        0x1 => {
            // Initial APIC ID, and one logical processor a package: each vCPU is a core of its own.
            entry.ebx = entry.ebx & 0x0000_ffff | 1 << 16 | index << 24;
            entry.ecx |= HYPERVISOR | X2APIC;
            // KVM emulates it on any host and does not list it on every kernel: the guest's timer then
            // needs neither the PIT nor a calibration.
            if deadline_timer {
                entry.ecx |= TSC_DEADLINE;
            }
            // No hyper-threading.
            entry.edx &= !(1 << 28);
        }
        // Caches: shared by no other logical processor; a package of one core.
        0x4 | 0x8000_001d => entry.eax &= 0x0000_3fff,
        // Extended topology: each level has one logical processor.
        0xb | 0x1f => {
            entry.edx = index;
            if entry.ebx != 0 {
                entry.ebx = 1;
                entry.eax = 0;
            }
        }
        // Performance monitoring: counters that nobody here reads.
        0xa => (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0),
        // AMD: number of cores less one, size of the APIC ID.
        0x8000_0008 => entry.ecx = 0,
        // AMD: extended APIC ID, compute unit, node.
        0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (index, index & 0xff, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vcpu_finds_its_own_number_in_every_leaf_that_has_one() {
        let mut leaf = kvm_cpuid_entry2 {
            function: 1,
            ebx: 0x0710_0800,
            ..Default::default()
        };
        specialize(&mut leaf, 3, true);
        assert_eq!(leaf.ebx, 0x0301_0800);
        assert_ne!(leaf.ecx & 1 << 24, 0);

        let mut leaf = kvm_cpuid_entry2 {
            function: 0xb,
            ebx: 4,
            eax: 2,
            edx: 9,
            ..Default::default()
        };
        specialize(&mut leaf, 3, true);
        assert_eq!((leaf.eax, leaf.ebx, leaf.edx), (0, 1, 3));

        let mut leaf = kvm_cpuid_entry2 {
            function: 0x8000_001e,
            eax: 9,
            ..Default::default()
        };
        specialize(&mut leaf, 3, true);
        assert_eq!(leaf.eax, 3);
    }

    #[test]
    fn the_deadline_timer_is_not_promised_where_kvm_has_none() {
        let mut leaf = kvm_cpuid_entry2 {
            function: 1,
            ..Default::default()
        };
        specialize(&mut leaf, 0, false);
        assert_eq!(leaf.ecx & 1 << 24, 0);
    }
}
