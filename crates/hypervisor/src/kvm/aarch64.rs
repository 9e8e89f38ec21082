//! aarch64: vCPU features, the GIC, and the registers that a kernel begins with.

use std::mem::offset_of;

use kvm_bindings::{
    KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, KVM_ARM_VCPU_PTRAUTH_ADDRESS,
    KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_ARM_VCPU_SVE, KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR,
    KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, KVM_REG_ARM_CORE, KVM_REG_ARM64,
    KVM_REG_SIZE_U64, KVM_VGIC_V2_ADDR_TYPE_CPU, KVM_VGIC_V2_ADDR_TYPE_DIST, KVM_VGIC_V3_ADDR_TYPE_DIST,
    KVM_VGIC_V3_ADDR_TYPE_REDIST, kvm_create_device, kvm_device_attr,
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3, kvm_regs,
    kvm_vcpu_init, user_pt_regs,
};
use kvm_ioctls::{Cap, DeviceFd, VcpuFd, VmFd};

use crate::{Error, InterruptController, InterruptControllerLayout, Start};

pub(super) const REQUIRED: [(Cap, &str); 2] = [
    (Cap::ArmPsci02, "power control for vCPUs (KVM_CAP_ARM_PSCI_0_2)"),
    (Cap::OneReg, "register access (KVM_CAP_ONE_REG)"),
];

/// INTIDs 0 to 127: 32 private ones and 96 shared peripheral interrupts.
const INTERRUPTS: u32 = 128;

/// A GICv2 addresses no more CPUs.
const GICV2_MAX_VCPUS: u32 = 8;

pub(super) fn initialize_vm(_: &VmFd) -> Result<(), Error> {
    Ok(())
}

/// A GICv3, or a GICv2 on hosts whose hardware has nothing newer.
pub(super) fn create_interrupt_controller(
    vm: &VmFd,
    layout: &InterruptControllerLayout,
) -> Result<(InterruptController, Option<DeviceFd>), Error> {
    let create = |kind| {
        vm.create_device(&mut kvm_create_device {
            type_: kind,
            ..Default::default()
        })
    };
    let (kind, gic, places) = match create(kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3) {
        Ok(gic) => (
            InterruptController::GicV3,
            gic,
            [
                (KVM_VGIC_V3_ADDR_TYPE_DIST, layout.distributor),
                (KVM_VGIC_V3_ADDR_TYPE_REDIST, layout.redistributors),
            ],
        ),
        Err(_) if layout.vcpus > GICV2_MAX_VCPUS => {
            return Err(Error::Unsupported(
                "more than 8 vCPUs, because the host has no GICv3",
            ));
        }
        Err(_) => (
            InterruptController::GicV2,
            create(kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2).map_err(Error::host("create a GIC"))?,
            [
                (KVM_VGIC_V2_ADDR_TYPE_DIST, layout.distributor),
                (KVM_VGIC_V2_ADDR_TYPE_CPU, layout.redistributors),
            ],
        ),
    };
    for (attribute, address) in places {
        set_attribute(
            &gic,
            KVM_DEV_ARM_VGIC_GRP_ADDR,
            attribute,
            Some(&raw const address as u64),
        )?;
    }
    let interrupts = INTERRUPTS;
    set_attribute(
        &gic,
        KVM_DEV_ARM_VGIC_GRP_NR_IRQS,
        0,
        Some(&raw const interrupts as u64),
    )?;
    Ok((kind, Some(gic)))
}

/// The GIC's own initialization wants every vCPU to exist.
pub(super) fn seal_interrupt_controller(gic: Option<&DeviceFd>) -> Result<(), Error> {
    match gic {
        Some(gic) => set_attribute(gic, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, None),
        None => Ok(()),
    }
}

/// `value` is the address of a variable of the size that the attribute has.
fn set_attribute(gic: &DeviceFd, group: u32, attribute: u32, value: Option<u64>) -> Result<(), Error> {
    gic.set_device_attr(&kvm_device_attr {
        group,
        attr: u64::from(attribute),
        addr: value.unwrap_or(0),
        flags: 0,
    })
    .map_err(Error::host("set up the GIC"))
}

pub(super) fn initialize_vcpu(vm: &VmFd, vcpu: &VcpuFd, index: u32) -> Result<(), Error> {
    let mut init = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut init)
        .map_err(Error::host("say what the processor offers"))?;
    let mut features = vec![KVM_ARM_VCPU_PSCI_0_2];
    if index != 0 {
        features.push(KVM_ARM_VCPU_POWER_OFF);
    }
    if vm.check_extension(Cap::ArmPtrAuthAddress) && vm.check_extension(Cap::ArmPtrAuthGeneric) {
        features.extend([KVM_ARM_VCPU_PTRAUTH_ADDRESS, KVM_ARM_VCPU_PTRAUTH_GENERIC]);
    }
    let vectors = vm.check_extension(Cap::ArmSve);
    if vectors {
        features.push(KVM_ARM_VCPU_SVE);
    }
    for feature in features {
        init.features[0] |= 1 << feature;
    }
    vcpu.vcpu_init(&init).map_err(Error::host("initialize a vCPU"))?;
    if vectors {
        vcpu.vcpu_finalize(&KVM_ARM_VCPU_SVE.cast_signed())
            .map_err(Error::host("offer SVE"))?;
    }
    Ok(())
}

/// The kernel's Documentation/arch/arm64/booting.rst: EL1, interrupts masked, X0 is the device tree, X1 to X3 are
/// zero (as KVM makes them).
pub(super) fn start_vcpu(vcpu: &VcpuFd, start: &Start) -> Result<(), Error> {
    /// EL1h, debug exceptions, SErrors, interrupts and fast interrupts masked (Arm ARM C5.2.19).
    const PSTATE: u64 = 0x3c5;
    match *start {
        // KVM itself holds it until PSCI CPU_ON.
        Start::Parked => Ok(()),
        Start::LongMode { .. } => Err(Error::Setup("long mode on an Arm processor".into())),
        Start::El1 { entry, argument } => {
            set_core_register(vcpu, offset_of!(user_pt_regs, pstate), PSTATE)?;
            set_core_register(vcpu, offset_of!(user_pt_regs, pc), entry)?;
            set_core_register(vcpu, offset_of!(user_pt_regs, regs), argument)
        }
    }
}

/// The register at this byte of `struct kvm_regs` (api.rst, 4.68).
fn core_register(offset: usize) -> u64 {
    let offset = (offset_of!(kvm_regs, regs) + offset) / size_of::<u32>();
    KVM_REG_ARM64 | KVM_REG_SIZE_U64 | u64::from(KVM_REG_ARM_CORE) | offset as u64
}

fn set_core_register(vcpu: &VcpuFd, offset: usize, value: u64) -> Result<(), Error> {
    vcpu.set_one_reg(core_register(offset), &value.to_le_bytes())
        .map_err(Error::host("set the registers"))?;
    Ok(())
}

/// For messages.
pub(super) fn program_counter(vcpu: &VcpuFd) -> String {
    let mut value = [0; 8];
    match vcpu.get_one_reg(core_register(offset_of!(user_pt_regs, pc)), &mut value) {
        Ok(_) => format!("{:#x}", u64::from_le_bytes(value)),
        Err(_) => "an unknown place".into(),
    }
}
