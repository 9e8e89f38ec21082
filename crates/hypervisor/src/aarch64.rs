//! What an aarch64 guest can rely on, whichever hypervisor runs it.

/// The affinity of vCPU `index` as its MPIDR_EL1 shows it (Arm ARM, D19.2.100, without the flag bits), and as the
/// device tree names it: sixteen vCPUs in a cluster, because a GICv3 addresses SGIs to at most sixteen.
pub const fn affinity(index: u32) -> u64 {
    (index & 0xf) as u64 | ((index >> 4) as u64 & 0xff) << 8
}

/// The size of a GIC distributor's window, in bytes.
pub const GIC_DISTRIBUTOR_SIZE: u64 = 0x1_0000;
/// The size of one GICv3 redistributor's two frames, in bytes.
pub const GIC_REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
/// The size of a GICv2 CPU interface, in bytes.
pub const GIC_CPU_INTERFACE_SIZE: u64 = 0x2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventeenth_vcpu_opens_a_second_cluster() {
        assert_eq!(affinity(15), 15);
        assert_eq!(affinity(16), 0x100);
        assert_eq!(affinity(33), 0x201);
    }
}
